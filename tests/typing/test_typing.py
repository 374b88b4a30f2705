"""What users write has types that mypy and pyright agree with, at their strictest."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.source import ROOT

USER_CODE = Path(__file__).with_name("user_code.py")
SOURCE = ROOT / "src"
WRONG = """
import tidyllm as tl

tl.openai("m", temprature=0)
tl.chat(3, tl.openai())
tl.chat(["Hi"], tl.openai()).reply()
tl.nothing
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder without settings of ours, where what is checked lies."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(USER_CODE, folder)
    (folder / "wrong.py").write_text(WRONG)
    return folder


def checked(tool: str, *given: str, folder: Path) -> str:
    """Return what a type checker finds in a file; it sees the package as one that is installed."""
    # Otherwise pyright's starter asks a registry whether there is a newer one.
    environment = {**os.environ, "MYPYPATH": str(SOURCE), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", tool, *given]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    return done.stdout + done.stderr


def mypy(file: str, folder: Path) -> str:
    return checked("mypy", "--strict", "--config-file=", "--cache-dir=.mypy", file, folder=folder)


def pyright(file: str, folder: Path) -> str:
    settings = {"include": [file], "extraPaths": [str(SOURCE)], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    return checked("pyright", "--pythonpath", sys.executable, folder=folder)


def test_mypy_accepts_what_users_write(folder: Path) -> None:
    found = mypy("user_code.py", folder)
    assert found == "Success: no issues found in 1 source file\n"


def test_pyright_accepts_what_users_write(folder: Path) -> None:
    found = pyright("user_code.py", folder)
    assert found == "0 errors, 0 warnings, 0 informations\n"


def test_both_see_what_is_wrong(folder: Path) -> None:
    assert "Found 4 errors in 1 file" in mypy("wrong.py", folder)
    lines = {line.split(":")[1] for line in pyright("wrong.py", folder).splitlines() if "error:" in line}
    assert lines == {"4", "5", "6", "7"}


def test_the_package_says_that_it_has_types() -> None:
    assert (SOURCE / "tidyllm" / "py.typed").is_file()
