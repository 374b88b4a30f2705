import subprocess
import sys
from pathlib import Path

WITHOUT_SQLALCHEMY = """
import sys
sys.modules["sqlalchemy"] = None
sys.argv = ["tidyllm", "serve"]
from tidyllm.cli.main import main
main()
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidyllm", "serve", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_settings_that_are_wrong_are_one_line_and_exit_code_2(tmp_path: Path) -> None:
    ended = run(tmp_path, "--config", "missing.toml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: There is no settings file missing.toml.\n"


def test_an_open_address_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, "--host", "0.0.0.0", "--workers", "1", "--data", "d")  # noqa: S104 - to be refused
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert "127.0.0.1" in ended.stderr


def test_without_the_server_s_libraries_it_says_what_to_install(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_SQLALCHEMY]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr == 'error: The server needs sqlalchemy: pip install "tidyllm[server]".\n'
