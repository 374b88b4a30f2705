import subprocess
import sys
from importlib.metadata import version

import pytest

from tidyllm.cli.main import main


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidyllm", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_version_is_that_of_the_package() -> None:
    ended = run("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"tidyllm {version('tidyllm')}\n", "")


def test_without_a_command_it_lists_them() -> None:
    ended = run()
    assert "simulate" in ended.stdout + ended.stderr
    assert "serve" in ended.stdout + ended.stderr


def test_an_unknown_command_is_an_error_of_use() -> None:
    assert run("fly").returncode == 2


def test_starting_loads_nothing_heavy() -> None:
    heavy = {"asyncio", "polars", "narwhals", "pyreqwest", "fastapi", "sqlalchemy", "httptools", "msgspec"}
    code = f"import sys, tidyllm.cli.main; print(sorted({heavy} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_an_error_of_ours_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tidyllm", "simulate", "--errors", "2"])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
