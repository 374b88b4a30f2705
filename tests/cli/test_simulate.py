import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

TIDYLLM = (sys.executable, "-m", "tidyllm")


@contextmanager
def simulate(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command until its ready line; give the process and the URL."""
    command = [*TIDYLLM, "simulate", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            found = re.fullmatch(r"Simulated model at (http://127\.0\.0\.1:\d+/v1) \(Ctrl-C stops it\)\n", ready)
            assert found, ready
            yield process, found[1]
        finally:
            process.kill()


def ask(url: str) -> dict[str, object]:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
    with urllib.request.urlopen(f"{url}/chat/completions", body, timeout=30) as answer:  # noqa: S310 - our own server
        decoded: dict[str, object] = json.load(answer)
        return decoded


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_a_signal_and_says_what_it_served(number: signal.Signals) -> None:
    with simulate() as (process, url):
        assert ask(url)["system_fingerprint"] == "simulated"
        process.send_signal(number)
        told, complaints = process.communicate(timeout=30)
    assert (process.returncode, complaints) == (0, "")
    assert told == "1 received, 1 answered (200: 1; 0 broken), 0 abandoned, 0 in flight (at most 1)\n"


def test_its_options_reach_the_model() -> None:
    options = (
        "--errors",
        "0.5",
        "--rate-limits",
        "0.5",
        "--latency-ms",
        "1",
        "--latency-shape",
        "lognormal",
        "--seed",
        "1",
    )
    with simulate(*options) as (_, url), pytest.raises(urllib.error.HTTPError) as error:
        ask(url)
    with error.value:
        assert error.value.code in {429, 500}


def test_its_limits_reach_the_model() -> None:
    options = ("--capacity", "1", "--over-capacity", "refuse", "--hangs", "1", "--rpm", "50", "--key", "sk-right")
    with simulate(*options) as (process, url), ThreadPoolExecutor(1) as pool:
        assert refusal(url, key="sk-wrong").code == 401
        hanging = pool.submit(refusal, url, key="sk-right")
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/simulated/wait?received=2", timeout=30) as answer:  # noqa: S310 - ours
            answer.read()
        refused = refusal(url, key="sk-right")
        assert (refused.code, refused.headers["x-ratelimit-remaining-requests"]) == (429, "48")
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionError):
            hanging.result()


def refusal(url: str, *, key: str) -> urllib.error.HTTPError:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
    request = urllib.request.Request(f"{url}/chat/completions", body, {"authorization": f"Bearer {key}"})  # noqa: S310 - our own server
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)  # noqa: S310 - our own server
    refused.value.close()
    return refused.value


def test_a_request_that_hangs_does_not_keep_it_from_stopping() -> None:
    with simulate("--hangs", "1") as (process, url), ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(ask, url)
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/simulated/wait?received=1", timeout=30) as answer:  # noqa: S310 - ours
            answer.read()
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=30)
        with pytest.raises(ConnectionError):
            hanging.result()
    assert process.returncode == 0
    assert told == "1 received, 0 answered (none; 0 broken), 0 abandoned, 1 in flight (at most 1)\n"


@pytest.mark.parametrize(
    "options", [("--errors", "2"), ("--capacity", "-1"), ("--port", "70000"), ("--host", "192.0.2.1")]
)
def test_what_cannot_be_is_one_line_and_exit_code_2(options: tuple[str, str]) -> None:
    ended = subprocess.run([*TIDYLLM, "simulate", *options], capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 2
    assert re.fullmatch(r"error: .*\n", ended.stderr)
    assert ended.stdout == ""
