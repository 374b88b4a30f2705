"""Imports point down: which box may import which, and no cycles of modules."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from scripts.source import Module, imports, package_modules

MODULES = package_modules()

BELOW_THE_HALVES = frozenset({"providers", "dialects", "transport", "journal", "core"})
MAY_IMPORT = {
    "core": frozenset[str](),
    "journal": frozenset({"core"}),
    "transport": frozenset({"core"}),
    "dialects": frozenset({"core"}),
    "providers": frozenset({"dialects", "core"}),
    "client": BELOW_THE_HALVES,
    "server": BELOW_THE_HALVES,
    "face": BELOW_THE_HALVES | {"client"},
    "testing": BELOW_THE_HALVES | {"client", "server"},
    "cli": BELOW_THE_HALVES | {"client", "server", "face", "testing"},
}
BOX_OF = {
    "tidyllm": "face",
    "tidyllm.compat": "face",
    "tidyllm.errors": "face",
    "tidyllm.__main__": "cli",
    "tidyllm.dialect": "dialects",
    "tidyllm.provider": "providers",
    "tidyllm.journals": "journal",
} | {f"tidyllm.{box}": box for box in MAY_IMPORT if box != "face"}

HOME_OF_LIBRARY = {
    "alembic": ("tidyllm.server.stores",),
    "fastapi": ("tidyllm.server.api",),
    "genai_prices": ("tidyllm.client",),
    "httptools": ("tidyllm.testing",),
    "numpy": ("tidyllm.client",),
    "narwhals": ("tidyllm.client", "tidyllm.compat"),
    "polars": ("tidyllm.client", "tidyllm.compat"),
    "pyreqwest": ("tidyllm.transport",),
    "python_multipart": ("tidyllm.server.api",),
    "rich": ("tidyllm.client", "tidyllm.cli"),
    "sqlalchemy": ("tidyllm.server.stores",),
    "starlette": ("tidyllm.server.api",),
    "typer": ("tidyllm.cli",),
}
"""The one place, or two, where a library may be imported: it can be replaced there."""
NEVER_IMPORTED = {"aiohttp", "anthropic", "google", "httpx", "httpx2", "mistralai", "openai", "requests", "urllib3"}
"""Vendors' SDKs and other HTTP clients: the package speaks HTTP through `transport` alone."""


def box_of(name: str) -> str | None:
    if name == "tidyllm":
        return "face"
    return BOX_OF.get(".".join(name.split(".")[:2]))


def our_module(target: str) -> str | None:
    """Return the module of ours that an import names, or None if it names another library."""
    if target.partition(".")[0] != "tidyllm":
        return None
    if target in MODULES:
        return target
    parent = target.rpartition(".")[0]
    return parent if parent in MODULES else target


def our_imports(module: Module) -> Iterator[tuple[str, int]]:
    for found in imports(module):
        if (target := our_module(found.target)) is not None:
            yield target, found.line


def test_every_module_is_in_a_box() -> None:
    assert [name for name in MODULES if box_of(name) is None] == []


def test_every_import_of_ours_exists() -> None:
    missing = [
        f"{module.place}:{line} imports {target}"
        for module in MODULES.values()
        for target, line in our_imports(module)
        if target not in MODULES
    ]
    assert not missing, "\n".join(missing)


def test_boxes_import_only_boxes_below() -> None:
    upward = []
    for module in MODULES.values():
        here = box_of(module.name)
        for target, line in our_imports(module):
            there = box_of(target)
            if here is not None and there is not None and there != here and there not in MAY_IMPORT[here]:
                upward.append(f"{module.place}:{line}: {here} imports {target}, which is in {there}")
    assert not upward, "\n".join(upward)


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: {target for target, _ in our_imports(module)} - {name} for name, module in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"A cycle of imports: {' <- '.join(error.args[1])}")


def test_libraries_are_imported_only_where_they_live() -> None:
    strays = []
    for module in MODULES.values():
        for found in imports(module):
            library = found.target.partition(".")[0]
            homes = HOME_OF_LIBRARY.get(library)
            at_home = homes is None or any(f"{module.name}.".startswith(f"{home}.") for home in homes)
            if library in NEVER_IMPORTED or not at_home:
                strays.append(f"{module.place}:{found.line} imports {found.target}")
    assert not strays, "\n".join(strays)
