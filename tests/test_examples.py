"""What the documents and `examples/` show is run for real: against `tidyllm serve` in front of a simulated model."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from examples.demo import ROWS, real_texts, running, with_v1
from scripts.source import ROOT

DEMO = ROOT / "examples" / "demo.py"
DOCUMENTS = ("README.md", "docs/client.md", "docs/conversations.md", "docs/server.md")
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
DEFAULT_BASE_URL = "http://127.0.0.1:8642/v1"
TIMEOUT_S = 90
URL = re.compile(r"http://127\.0\.0\.1:\d+")


def blocks() -> Iterator[tuple[str, str]]:
    """Yield each Python block of the documents, with a name for it."""
    for document in DOCUMENTS:
        for number, code in enumerate(PYTHON.findall((ROOT / document).read_text()), 1):
            yield f"{document} block {number}", code


BLOCKS = dict(blocks())


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with running("simulate", "--port", "0", log=folder / "model.log") as model_url:
        places = ("--port", "0", "--data", str(folder / "data"), "--upstream", with_v1(model_url))
        with running("serve", *places, log=folder / "server.log") as url:
            yield with_v1(url)


def demo(folder: Path) -> "subprocess.Popen[str]":
    """Start the demo; all its temporary things go into `folder`."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-u", str(DEMO)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def is_open(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


@pytest.mark.parametrize("name", BLOCKS)
def test_the_code_in_the_documents_runs(name: str, server_url: str, tmp_path: Path) -> None:
    code = BLOCKS[name].replace(DEFAULT_BASE_URL, server_url)
    environment = {**os.environ, "TIDYLLM_BASE_URL": server_url}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_demo_brings_every_row_back_and_leaves_nothing(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        told, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, told
    assert f"{ROWS} rows came back, {ROWS} of them ok; the model was asked {ROWS} times." in told
    assert not any(is_open(url) for url in URL.findall(told))
    assert list(tmp_path.iterdir()) == []


def test_the_demo_stops_what_it_started_when_it_is_interrupted(tmp_path: Path) -> None:
    urls: list[str] = []
    with demo(tmp_path) as process:
        for line in process.stdout or ():
            urls += URL.findall(line)
            if line.startswith("Sent as one batch"):
                # A terminal sends it to every process of the session.
                os.killpg(process.pid, signal.SIGINT)
        process.wait(TIMEOUT_S)
    assert process.returncode == 130
    assert len(urls) >= 2
    assert not any(is_open(url) for url in urls)
    assert list(tmp_path.iterdir()) == []


def test_the_demo_has_the_same_real_texts_every_time() -> None:
    texts = real_texts()
    assert texts.shape == (ROWS, 3)
    assert texts.equals(real_texts())
    assert texts["module"].n_unique() > 50
