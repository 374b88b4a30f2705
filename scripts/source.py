"""Our own source code as data, for the shape tests and the documents: modules, imports and functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "tidyllm"
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Module(msgspec.Struct, frozen=True):
    """One file of Python."""

    name: str
    """Dotted, such as `tidyllm.core.wire`; a package has the name of its folder."""
    path: Path
    tree: ast.Module
    lines: int

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__.py` of a folder."""
        return self.path.name == "__init__.py"

    @property
    def place(self) -> str:
        """Where it is, from the repository's root."""
        return self.path.relative_to(ROOT).as_posix()


class Import(msgspec.Struct, frozen=True):
    """One import, wherever it stands: at the top, in a function, or under TYPE_CHECKING."""

    target: str
    """The dotted name of what is imported; for `from a import b` it is `a.b`, be `b` a module or not."""
    line: int


class Function(msgspec.Struct, frozen=True):
    """One function or method."""

    name: str
    """Qualified, such as `Settings.copy`."""
    node: FunctionNode
    in_protocol: bool

    @property
    def lines(self) -> int:
        """Its lines, from `def` to the end of its body."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1


def package_modules() -> dict[str, Module]:
    """Return every module of the package by its dotted name, sorted by path."""
    return {module.name: module for module in python_files(PACKAGE)}


def python_files(folder: Path) -> Iterator[Module]:
    """Yield every Python file below a folder of the repository, sorted by path."""
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        inside = path.relative_to(ROOT / "src" if path.is_relative_to(PACKAGE) else ROOT).with_suffix("")
        parts = inside.parent.parts if path.name == "__init__.py" else inside.parts
        yield Module(".".join(parts), path, ast.parse(text, str(path)), len(text.splitlines()))


def imports(module: Module) -> Iterator[Import]:
    """Yield every import of a module, also those by `import_module("...")`."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(alias.name, node.lineno)
            case ast.ImportFrom(names=names):
                base = _absolute(module, node)
                for alias in names:
                    yield Import(f"{base}.{alias.name}", node.lineno)
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"), args=[first, *_]):
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield Import(first.value, node.lineno)


def functions(module: Module) -> Iterator[Function]:
    """Yield every function of a module, nested ones and methods included."""
    yield from _functions(module.tree, "", in_protocol=False)


def first_sentence(docstring: str) -> str:
    """Return the first sentence of a docstring, which must be its first line; raises ValueError when it is not."""
    line = docstring.split("\n", 1)[0].strip()
    end = line.find(". ")
    sentence = line if end < 0 else line[: end + 1]
    if not sentence.endswith((".", ":")):
        raise ValueError(f"The first line is not a sentence: {line!r}.")
    return sentence.replace(":", ".") if sentence.endswith(":") else sentence


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parents = module.name.split(".")
    kept = len(parents) - node.level + (1 if module.is_package else 0)
    return ".".join([*parents[:kept], *([node.module] if node.module else [])])


def _functions(node: ast.AST, prefix: str, *, in_protocol: bool) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.ClassDef():
                is_protocol = any(ast.unparse(base).split("[")[0].endswith("Protocol") for base in child.bases)
                yield from _functions(child, f"{prefix}{child.name}.", in_protocol=is_protocol)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield Function(f"{prefix}{child.name}", child, in_protocol)
                yield from _functions(child, f"{prefix}{child.name}.", in_protocol=False)
            case _:
                yield from _functions(child, prefix, in_protocol=in_protocol)
