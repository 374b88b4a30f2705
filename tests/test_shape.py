"""The size and form of files and functions: limits that only a named exception may pass."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.source import PACKAGE, ROOT, Function, Module, first_sentence, functions, package_modules, python_files

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 7
POSITIONAL_MAX = 2
CODE_FOLDERS = ("src", "tests", "examples", "benchmarks", "scripts")

EXCEPTIONS = frozenset(
    {
        "src/tidyllm/core/errors.py ApiError.__init__ has too many parameters",
    }
)
"""Offences that are accepted, in the words in which the tests report them; the list may only shrink."""

ASGI = ("scope", "receive", "send")
"""The three arguments that the ASGI specification gives every application."""


FILES = [module for folder in CODE_FOLDERS for module in python_files(ROOT / folder)]
MODULES = package_modules()


def is_command(function: Function) -> bool:
    """Whether it is a command of the command line, whose parameters are its options."""
    return any(".command(" in ast.unparse(decorator) for decorator in function.node.decorator_list)


def exported_names() -> frozenset[str]:
    face = ast.parse((PACKAGE / "__init__.py").read_text())
    for node in face.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                return frozenset(ast.literal_eval(node.value))
    return frozenset()


def is_verb(module: Module, function: Function, exported: frozenset[str]) -> bool:
    """Whether it is one of the public verbs, or the `a...` twin of one."""
    return module.name.startswith("tidyllm.client.") and {function.name, function.name[1:]} & exported != set()


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[list[str], list[str]]:
    """Return the names that may be given by position, and those that may only be given by name."""
    given = node.args
    positional = [arg.arg for arg in (*given.posonlyargs, *given.args)]
    return [name for name in positional if name not in {"self", "cls"}], [arg.arg for arg in given.kwonlyargs]


def long_files() -> Iterator[str]:
    for module in FILES:
        if module.lines > FILE_LINES_MAX:
            yield f"{module.place} is too long"


def long_functions() -> Iterator[str]:
    for module in FILES:
        for function in functions(module):
            if function.lines > FUNCTION_LINES_MAX:
                yield f"{module.place} {function.name} is too long"


def wide_functions() -> Iterator[str]:
    exported = exported_names()
    for module in MODULES.values():
        for function in functions(module):
            if is_verb(module, function, exported) or is_command(function):
                continue
            positional, named = parameters(function.node)
            if len(positional) + len(named) > PARAMETERS_MAX:
                yield f"{module.place} {function.name} has too many parameters"
            dictated = function.node.name.startswith("__") or tuple(positional) == ASGI
            if len(positional) > POSITIONAL_MAX and not dictated:
                yield f"{module.place} {function.name} has too many positional parameters"


def is_empty(function: Function) -> bool:
    """Whether the body says nothing but a docstring, pass, ... or NotImplementedError."""
    body = [node for node in function.node.body if not _is_docstring(node)]
    return all(isinstance(node, ast.Pass) or _is_ellipsis(node) or _is_not_implemented(node) for node in body)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _is_not_implemented(node: ast.stmt) -> bool:
    return isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.unparse(node.exc)


def is_overload(function: Function) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in function.node.decorator_list)


def empty_functions() -> Iterator[str]:
    for module in MODULES.values():
        for function in functions(module):
            if is_empty(function) and not function.in_protocol and not is_overload(function):
                yield f"{module.place} {function.name} has no body"


def none_of(offences: Iterable[str]) -> None:
    assert not (found := sorted(set(offences) - EXCEPTIONS)), "\n".join(found)


def test_files_are_short() -> None:
    none_of(long_files())


def test_functions_are_short() -> None:
    none_of(long_functions())


def test_functions_take_few_parameters_and_name_them() -> None:
    none_of(wide_functions())


def test_functions_outside_protocols_have_bodies() -> None:
    none_of(empty_functions())


def test_every_exception_is_still_needed() -> None:
    offences = {*long_files(), *long_functions(), *wide_functions(), *empty_functions()}
    assert not (unneeded := sorted(EXCEPTIONS - offences)), "\n".join(unneeded)


def test_every_module_opens_with_a_sentence() -> None:
    silent = []
    for module in FILES:
        try:
            first_sentence(ast.get_docstring(module.tree) or "")
        except ValueError:
            silent.append(module.place)
    none_of(place for place in silent if not place.startswith("tests/"))


def test_providers_are_declarations() -> None:
    behaviour = [
        f"{module.place}:{node.lineno}"
        for module in python_files(PACKAGE / "providers")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If | ast.IfExp | ast.Lambda)
    ]
    none_of(behaviour)


def test_no_folder_of_the_package_is_empty() -> None:
    folders = [path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    none_of(str(folder.relative_to(ROOT)) for folder in folders if not _python_inside(folder))


def _python_inside(folder: Path) -> bool:
    return any(path.name != "__init__.py" for path in folder.rglob("*.py"))
