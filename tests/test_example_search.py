"""The example with a real model: its endpoint always, with a model that pretends; all of it where that is wanted.

`EXAMPLE_SEARCH_PYTHON=.venv-search/bin/python pytest tests/test_example_search.py` runs it as `make example-search`
does, which makes that environment: it must have `examples/search/requirements.txt`.
"""

import os
import re
import subprocess
import sys
from array import array
from collections.abc import Iterator
from threading import Thread

import pytest

import tidyllm as tl
from examples.search.model import INPUTS_MAX, MODEL, RefusedError, answer, server
from scripts.source import ROOT

MODEL_PYTHON = os.environ.get("EXAMPLE_SEARCH_PYTHON")
TIMEOUT_S = 900


def lengths(texts: list[str]) -> list[bytes]:
    return [array("f", [len(text), 0.5]).tobytes() for text in texts]


@pytest.fixture
def base_url() -> Iterator[str]:
    with server(lengths) as endpoint:
        thread = Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{endpoint.server_port}/v1"
        endpoint.shutdown()
        thread.join()


def test_the_endpoint_answers_as_openai_does(base_url: str) -> None:
    provider = tl.chat_completions(MODEL, base_url=base_url)
    assert tl.embed(["a", "bcd"], provider).rows() == [("a", [1.0, 0.5]), ("bcd", [3.0, 0.5])]
    with pytest.raises(tl.errors.NotFoundError, match="Only POST"):
        tl.chat("Hi", provider)


def test_the_endpoint_writes_base64_too(base_url: str) -> None:
    provider = tl.openai(MODEL, base_url=base_url, api_key="none")
    assert tl.embed("abc", provider, dry_run=True).body == {
        "model": MODEL,
        "input": ["abc"],
        "encoding_format": "base64",
    }
    assert tl.embed("abc", provider).rows() == [("abc", [3.0, 0.5])]


@pytest.mark.parametrize(
    "body",
    [
        b'{"input": [' + b",".join([b'"a"'] * (INPUTS_MAX + 1)) + b"]}",
        b"",
        b"[]",
        b"{}",
        b'{"input": []}',
        b'{"input": [""]}',
        b'{"input": [1]}',
        b'{"input": "a", "encoding_format": "x"}',
    ],
)
def test_the_endpoint_refuses_what_it_does_not_take(body: bytes) -> None:
    with pytest.raises(RefusedError):
        answer(body, lengths)


@pytest.mark.skipif(MODEL_PYTHON is None, reason="EXAMPLE_SEARCH_PYTHON names no Python that has the model")
def test_a_real_model_finds_what_was_asked_for() -> None:
    assert MODEL_PYTHON is not None
    command = [sys.executable, "-m", "examples.search", "--model-python", MODEL_PYTHON]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^(\S.*)\n((?:  0\.\d\d  .*\n)+)", done.stdout, re.MULTILINE))
    assert "random.choice" in found["pick random elements from a list without repeating any"]
    assert "compress" in found["make a file smaller by compressing it"]
    assert "difflib" in found["how similar are two pieces of text?"]
    assert "statistics.median" in found["the middle value of some numbers"]
