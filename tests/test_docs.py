"""The documents agree with the code: generated parts, links, commands, versions."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.source import ROOT
from scripts.write_docs import PARTS, commands, options, outdated, renewed

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)")
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)


def console_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield each command that a document shows, with the document's name."""
    for path in DOCUMENTS:
        for block in CONSOLE.findall(path.read_text()):
            for line in block.splitlines():
                if line.startswith("$ "):
                    yield path.name, line[2:].partition("#")[0].split()


def test_generated_parts_are_up_to_date() -> None:
    assert list(outdated()) == []


def test_a_document_without_the_place_for_its_part_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a place"):
        renewed("nothing here", PARTS["ARCHITECTURE.md"])


def test_links_lead_somewhere() -> None:
    broken = [
        f"{path.name}: {target}"
        for path in DOCUMENTS
        for target in LINK.findall(path.read_text())
        if not target.startswith("http") and not (path.parent / target).exists()
    ]
    assert broken == []


def test_commands_that_the_documents_show_exist() -> None:
    known = {
        name: {flag for option in options(command) for flag in option.opts} for name, command in commands().items()
    }
    groups = {name.partition(" ")[0] for name in known if " " in name}
    wrong = [
        f"{document}: {' '.join(words)}"
        for document, words in console_lines()
        if words[0] == "tidyllm"
        and not (
            (name := " ".join(words[1 : 3 if words[1] in groups else 2])) in known
            and {word for word in words if word.startswith("--")} <= known[name]
        )
    ]
    assert wrong == []


def test_make_targets_that_the_documents_show_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {name for path in DOCUMENTS for name in re.findall(r"[`$] ?make ([a-z-]+)", path.read_text())}
    assert shown <= targets


def test_the_changelog_begins_with_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == version


def test_documents_name_no_place_of_the_machine_they_were_written_on() -> None:
    homes = re.compile(r"/(home|Users|root|work|tmp)/")
    assert [path.name for path in DOCUMENTS if homes.search(path.read_text())] == []


def test_every_document_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        reached.add(path)
        found = {(path.parent / target).resolve() for target in LINK.findall(path.read_text())}
        waiting.extend(other for other in found & set(DOCUMENTS) if other not in reached)
    assert sorted(path.name for path in set(DOCUMENTS) - reached) == []
