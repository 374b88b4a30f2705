import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.testing import Behavior, Counts, run_simulated, serve_simulated, simulated_model
from tidyllm.transport.loops import new_loop


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - our own server
        body: bytes = answer.read()
        return body


def test_the_model_listens_while_the_block_lasts() -> None:
    with simulated_model() as model:
        assert b'"simulated"' in fetch(f"{model.base_url}/models")
    with pytest.raises(OSError, match="refused"):
        fetch(f"{model.base_url}/models")


def test_the_model_ends_when_the_block_raises() -> None:
    others = set(threading.enumerate())
    with pytest.raises(KeyError), simulated_model():
        raise KeyError
    assert "simulated-model" not in {thread.name for thread in set(threading.enumerate()) - others}


def test_two_models_run_side_by_side() -> None:
    with simulated_model() as one, simulated_model() as other:
        assert one.base_url != other.base_url


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"127.0.0.1:{port}"), simulated_model(port=port):
            pass


def test_an_impossible_port_is_an_error() -> None:
    with pytest.raises(SettingError), simulated_model(port=70_000):
        pass


def test_an_ipv6_address_stands_in_brackets() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("This machine has no IPv6.")
    with simulated_model(host="::1") as model:
        assert model.base_url.startswith("http://[::1]:")
        assert fetch(f"{model.base_url}/models")


def test_it_runs_inside_a_loop_that_already_runs() -> None:
    async def play() -> tuple[bytes, Counts]:
        async with serve_simulated(Behavior()) as model:
            model.hold()
            model.release()
            return await asyncio.to_thread(fetch, f"{model.base_url}/models"), model.witness.counts()

    for factory in (asyncio.new_event_loop, new_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            body, counts = runner.run(play())
        assert b'"simulated"' in body
        assert counts.received == 0


def test_it_runs_without_uvloop_too() -> None:
    code = """
import sys, urllib.request
sys.modules["uvloop"] = None
from tidyllm.testing import simulated_model
with simulated_model() as model:
    print(urllib.request.urlopen(model.base_url + "/models").status)
"""
    ended = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "200\n"


def test_it_runs_until_a_signal() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    urls: list[str] = []

    def stop(url: str) -> None:
        urls.append(url)
        os.kill(os.getpid(), signal.SIGTERM)

    counts = run_simulated(host="127.0.0.1", port=0, tell_url=stop)
    assert urls[0].endswith("/v1")
    assert counts.received == 0
    assert {number: signal.getsignal(number) for number in before} == before
