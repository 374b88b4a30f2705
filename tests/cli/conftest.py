"""What the tests of `tidyllm batch` share: a real server in front of the simulated model, and the command line."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from tidyllm.cli.main import main
from tidyllm.testing import SimulatedModel, simulated_model


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    code: object
    out: str
    err: str


Cli: TypeAlias = Callable[..., Ended]


@pytest.fixture(scope="module")
def model() -> Iterator[SimulatedModel]:
    with simulated_model() as running:
        yield running


@pytest.fixture(scope="module")
def server(model: SimulatedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run `tidyllm serve` in front of the model; give its URL."""
    command = [sys.executable, "-m", "tidyllm", "serve", "--port", "0", "--upstream", model.base_url]
    command += ["--data", str(tmp_path_factory.mktemp("server"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "it said where it serves"
            yield found[0]
        finally:
            process.terminate()


@pytest.fixture
def place(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of its own, with the server as the provider `local`."""
    monkeypatch.setenv("TIDYLLM_BASE_URL", server if server.endswith("/v1") else f"{server}/v1")
    monkeypatch.setenv("TIDYLLM_HOME", str(tmp_path / "jobs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Return what runs `tidyllm batch` with such words."""

    def run(*words: object, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "argv", ["tidyllm", "batch", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Ended(end.value.code, *capsys.readouterr())

    return run


def started(*words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
    """Start `tidyllm batch` with such words as a process of its own."""
    command = [sys.executable, "-m", "tidyllm", "batch", *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=dict(os.environ))
