"""Watching an answer come."""

import asyncio
import gc
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import assert_type

import pytest

from tests.transport.scripted import DEADLINE_S, Wire, served_aside
from tidyllm import AsyncStream, LLMMessage, Preview, Stream, astream, llm_message, local, stream, using
from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.testing import ManualClock, play
from tidyllm.transport.background import BACKGROUND, EXIT_WAIT_S
from tidyllm.transport.drive import Transport

STREAMED = Path(__file__).parents[1] / "exchanges" / "local" / "stream_plain.json"
TALK = llm_message("Who was Konrad Zuse?", system="Be brief.")
PIECES = ["A German engineer", " who built the Z3."]


def chunk(text: str, *, finish: str | None = None, field: str = "content") -> bytes:
    choice = {"index": 0, "delta": {field: text}, "finish_reason": finish}
    event = b"data: " + json.dumps({"model": "m", "choices": [choice]}).encode() + b"\n\n"
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


class Faucet:
    """A server that streams one piece, and each further one when it is told to; knows when its client hangs up."""

    def __init__(self, *, field: str = "content") -> None:
        self.field = field
        """Which field of the message the later pieces are in."""
        self.go = threading.Event()
        self.hung_up = threading.Event()

    async def __call__(self, wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        await wire.send(chunk("drop "))
        going = asyncio.ensure_future(asyncio.to_thread(self.go.wait, DEADLINE_S))
        closed = asyncio.ensure_future(wire.until_closed())
        await asyncio.wait((going, closed), return_when=asyncio.FIRST_COMPLETED)
        try:
            for _ in range(1_000):
                await wire.send(chunk("drop ", field=self.field))
                await asyncio.sleep(0)
            await wire.send(chunk("", finish="stop") + b"0\r\n\r\n")
            await closed
        finally:
            self.go.set()
            closed.cancel()
            await asyncio.wait((going, closed))
            self.hung_up.set()


def test_pieces_come_and_the_whole_answer_is_there_afterwards() -> None:
    with using(play(STREAMED)):
        answer = assert_type(stream(TALK, local("my-model")), Stream)
        assert list(answer) == PIECES
        talk = assert_type(answer.result(), LLMMessage)
    assert talk.reply() == "".join(PIECES)
    assert talk.turns[:-1] == TALK.turns
    assert list(answer) == []


def test_the_whole_answer_can_be_had_without_watching() -> None:
    with using(play(STREAMED)):
        assert stream(TALK, local("my-model")).result().reply() == "".join(PIECES)


def test_the_asynchronous_twin_does_the_same() -> None:
    async def main() -> None:
        with using(play(STREAMED)):
            async with assert_type(astream(TALK, local("my-model")), AsyncStream) as answer:
                assert [piece async for piece in answer] == PIECES
                assert (await answer.result()).reply() == "".join(PIECES)
            assert (await astream(TALK, local("my-model")).result()).reply() == "".join(PIECES)

    asyncio.run(main())


def test_a_dry_run_shows_what_would_be_sent() -> None:
    shown = assert_type(stream("Hi", local("m"), dry_run=True), Preview)
    assert isinstance(shown.body, dict)
    assert shown.body["stream"] is True
    assert assert_type(astream("Hi", local("m"), dry_run=True), Preview) == shown


def test_a_list_is_refused() -> None:
    with pytest.raises(SettingError, match="one conversation"):
        stream(["Hi"], local("m"))  # type: ignore[call-overload]


def test_a_piece_is_there_before_the_next_one_is_made() -> None:
    faucet = Faucet()
    with served_aside(faucet) as server:
        answer = stream("Hi", local("m", base_url=server.url))
        assert next(answer) == "drop "
        faucet.go.set()
        assert answer.result().reply() == "drop " * 1_001


def test_whoever_stops_watching_hangs_up() -> None:
    faucet = Faucet()
    with served_aside(faucet) as server:
        with stream("Hi", local("m", base_url=server.url)) as answer:
            assert next(answer) == "drop "
        faucet.go.set()
        assert faucet.hung_up.wait(DEADLINE_S)
        with pytest.raises(SettingError, match="was closed before"):
            answer.result()
        answer.close()


def test_whoever_stops_watching_hangs_up_while_the_model_thinks() -> None:
    faucet = Faucet(field="reasoning_content")
    with served_aside(faucet) as server:
        with stream("Hi", local("m", base_url=server.url)) as answer:
            assert next(answer) == "drop "
        faucet.go.set()
        assert faucet.hung_up.wait(DEADLINE_S)


def test_whoever_stops_watching_hangs_up_though_nothing_more_comes() -> None:
    faucet = Faucet()
    with served_aside(faucet) as server:
        with stream("Hi", local("m", base_url=server.url)) as answer:
            assert next(answer) == "drop "
        assert faucet.hung_up.wait(DEADLINE_S)
        faucet.go.set()


def test_a_request_that_fails_is_not_sent_again_when_nobody_watches() -> None:
    arrived, go, again = threading.Event(), threading.Event(), threading.Event()

    async def overloaded(wire: Wire) -> None:
        await wire.request()
        if arrived.is_set():
            again.set()
        arrived.set()
        await asyncio.to_thread(go.wait, DEADLINE_S)
        await wire.send(b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await wire.until_closed()

    clock = ManualClock()
    with served_aside(overloaded) as server, using(Transport(sender=BACKGROUND, clock=clock)):
        answer = stream("Hi", local("m", base_url=server.url))
        assert arrived.wait(DEADLINE_S)
        answer.close()
        watched = stream("Hi", local("n", base_url=server.url))
        go.set()
        # The second one waits before it tries again; by then the first would have waited too.
        clock.wait_for_sleepers(1)
        watched.close()
        clock.advance(60)
    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}'),
        (
            "text/event-stream",
            b'data: {"choices": [{"delta": {"content": "Hello."}, "finish_reason": "stop"}]}',
        ),
    ],
)
def test_all_of_the_text_is_watched_though_a_server_streams_badly(kind: str, body: bytes) -> None:
    async def once(wire: Wire) -> None:
        await wire.request()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        await wire.send(head.encode() + body)
        await wire.until_closed()

    with served_aside(once) as server:
        answer = stream("Hi", local("m", base_url=server.url))
        assert "".join(answer) == "Hello."
        assert answer.result().reply() == "Hello."


def test_a_stream_that_is_dropped_hangs_up() -> None:
    faucet = Faucet()
    with served_aside(faucet) as server:
        assert next(stream("Hi", local("m", base_url=server.url))) == "drop "
        gc.collect()
        faucet.go.set()
        assert faucet.hung_up.wait(DEADLINE_S)


def test_an_asynchronous_watcher_that_stops_hangs_up() -> None:
    faucet = Faucet()

    async def main(url: str) -> None:
        async with astream("Hi", local("m", base_url=url)) as answer:
            assert await anext(answer) == "drop "
        faucet.go.set()
        assert await asyncio.to_thread(faucet.hung_up.wait, DEADLINE_S)
        with pytest.raises(SettingError, match="was closed before"):
            await answer.result()

    with served_aside(faucet) as server:
        asyncio.run(main(server.url))


def test_an_asynchronous_watcher_that_is_cancelled_hangs_up() -> None:
    faucet = Faucet()

    async def watch(url: str, seen: asyncio.Event) -> None:
        async for _ in astream("Hi", local("m", base_url=url)):
            seen.set()

    async def main(url: str) -> None:
        seen = asyncio.Event()
        watching = asyncio.create_task(watch(url, seen))
        await asyncio.wait_for(seen.wait(), DEADLINE_S)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
        faucet.go.set()
        assert await asyncio.to_thread(faucet.hung_up.wait, DEADLINE_S)

    with served_aside(faucet) as server:
        asyncio.run(main(server.url))


@pytest.mark.parametrize("busy", [False, True])
def test_ctrl_c_ends_a_stream_at_once(*, busy: bool) -> None:
    # It may come while the pieces are waited for, or while something is done with one.
    faucet = Faucet()
    with served_aside(faucet) as server:
        code = (
            "import threading\n"
            "from tidyllm import local, stream\n"
            f"for piece in stream('Hi', local('m', base_url={server.url!r})):\n"
            f"    print(piece, flush=True)\n"
            f"    if {busy}: threading.Event().wait({DEADLINE_S})\n"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"drop \n"
            began = time.monotonic()
            child.send_signal(signal.SIGINT)
            _, told = child.communicate(timeout=DEADLINE_S)
    assert time.monotonic() - began < EXIT_WAIT_S  # It did not wait for an answer that nobody would see.
    assert b"KeyboardInterrupt" in told
    assert b"broken off" not in told
    assert child.returncode == -signal.SIGINT


def test_outside_a_loop_there_is_nothing_to_watch_asynchronously() -> None:
    with pytest.raises(SettingError, match="elsewhere use stream"):
        astream("Hi", local("m"))


def test_a_web_page_in_place_of_a_stream_is_told_as_one() -> None:
    async def page(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html>Log in!")

    with served_aside(page) as server, pytest.raises(BadAnswerError, match=r"local at http.*web page.*Log in!"):
        stream("Hi", local("m", base_url=server.url)).result()
