"""A server that does everything wrong: each fault ends as its exception, in bounded time, however one asks."""

import asyncio
import json
import time
from collections.abc import Callable

import msgspec
import pytest

from tests.transport.scripted import Script, Wire, served_aside
from tidyllm import achat, astream, chat, local, stream, using
from tidyllm.core.errors import (
    AnswerTimeoutError,
    BadAnswerError,
    BadRequestError,
    BrokenConnectionError,
    ConnectError,
    QuotaError,
    RateLimitError,
    ServerError,
    StreamCutError,
    TidyllmError,
)
from tidyllm.provider import Model
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.drive import Transport
from tidyllm.transport.retry import RetryPolicy

BOUND_S = 10.0
"""Far above what any of them takes, and far below what a hang would."""
TWICE = Transport(sender=BACKGROUND, retry=RetryPolicy(attempts_max=2, delay_first_s=0.01))
CHUNK = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}\n\n'
END = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def whole(status: int, body: object, **headers: str) -> Script:
    """Return a server that answers every request so."""
    text = json.dumps(body).encode() if not isinstance(body, bytes) else body
    lines = [f"HTTP/1.1 {status} Whatever", "content-type: application/json", f"content-length: {len(text)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode()

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(head + text)

    return script


def pieces(*data: bytes, then: str = "close") -> Script:
    """Return a server that streams these bytes, and then closes, resets, ends the answer, or falls silent."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for one in data:
            await wire.send(f"{len(one):x}\r\n".encode() + one + b"\r\n")
        if then == "end":
            await wire.send(b"0\r\n\r\n")
        elif then == "reset":
            wire.writer.transport.abort()
        elif then == "silence":
            await wire.until_closed()

    return script


async def slam(wire: Wire) -> None:
    await wire.request()
    wire.writer.transport.abort()


async def hang(wire: Wire) -> None:
    await wire.request()
    await wire.until_closed()


async def half(wire: Wire) -> None:
    await wire.request()
    await wire.send(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{"id": "1", "cho')


ANY = [
    ("429", whole(429, {"error": {"message": "Too fast.", "code": "rate_limit_exceeded"}}), RateLimitError),
    ("429 and a long wait", whole(429, {"error": {"message": "Tomorrow."}}, retry_after="86400"), RateLimitError),
    ("429 without credit", whole(429, {"error": {"message": "No.", "code": "insufficient_quota"}}), QuotaError),
    ("500", whole(500, {"error": {"message": "Oops."}}), ServerError),
    ("500 in HTML", whole(500, b"<html>Oops</html>"), ServerError),
    ("529", whole(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Later."}}), ServerError),
    ("400", whole(400, {"error": {"message": "What?"}}), BadRequestError),
    ("an error in a 200", whole(200, {"error": {"message": "Upstream down.", "code": 502}}), ServerError),
    ("a 200 that is no answer", whole(200, {"hello": "world"}), BadAnswerError),
    ("a reset", slam, BrokenConnectionError),
    ("a hang", hang, AnswerTimeoutError),
    ("half an answer", half, BrokenConnectionError),
]
STREAMED = [
    ("half a stream", pieces(CHUNK), StreamCutError),
    ("half a stream and a reset", pieces(CHUNK, then="reset"), StreamCutError),
    ("a stream that ends early", pieces(CHUNK, then="end"), StreamCutError),
    ("a stream that falls silent", pieces(CHUNK, then="silence"), AnswerTimeoutError),
    ("a stream that never says a word", pieces(then="silence"), AnswerTimeoutError),
    ("an empty stream", pieces(then="end"), StreamCutError),
    ("an error in mid-stream", pieces(CHUNK, b'data: {"error": {"message": "Oops.", "code": 500}}\n\n'), ServerError),
    (
        "an error that keeps the line",
        pieces(CHUNK, b'data: {"error": "Oops.", "code": 1}\n\n', then="silence"),
        TidyllmError,
    ),
    ("a broken piece", pieces(CHUNK, b"data: {\n\n", END, then="end"), TidyllmError),
]


def watch(model: Model) -> None:
    for _ in stream("Hi", model):
        pass


async def awatch(model: Model) -> None:
    async for _ in astream("Hi", model):
        pass


def in_script(ask: Callable[[Model], object], model: Model) -> None:
    ask(model)


def in_a_loop(ask: Callable[[Model], object], model: Model) -> None:
    async def main() -> None:
        ask(model)

    asyncio.run(main())


def asynchronously(ask: Callable[[Model], object], model: Model) -> None:
    async def main() -> None:
        if ask is watch:
            await awatch(model)
        else:
            await achat("Hi", model)

    asyncio.run(main())


def ask_once(model: Model) -> None:
    chat("Hi", model)


@pytest.mark.parametrize("manner", [in_script, in_a_loop, asynchronously])
@pytest.mark.parametrize(
    ("ask", "script", "kind"),
    [
        *(pytest.param(ask_once, script, kind, id=f"chat, {name}") for name, script, kind in ANY),
        *(pytest.param(watch, script, kind, id=f"stream, {name}") for name, script, kind in [*ANY, *STREAMED]),
    ],
)
def test_each_fault_ends_as_its_exception(
    ask: Callable[[Model], object],
    script: Script,
    kind: type[TidyllmError],
    manner: Callable[[Callable[[Model], object], Model], None],
) -> None:
    began = time.monotonic()
    with served_aside(script) as server, using(TWICE), pytest.raises(kind):
        manner(ask, local("m", base_url=server.url, timeout_s=0.3))
    assert time.monotonic() - began < BOUND_S


@pytest.mark.parametrize("ask", [ask_once, watch])
def test_a_server_that_is_not_there_is_a_connection_that_never_stood(ask: Callable[[Model], object]) -> None:
    with served_aside(slam) as server:
        gone = server.url
    with using(TWICE), pytest.raises(ConnectError):
        ask(local("m", base_url=gone))


def test_trouble_that_passes_is_waited_out() -> None:
    answers = iter((500, 429, 200))

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            body = b'{"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}'
            head = f"HTTP/1.1 {next(answers)} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            await wire.send(head.encode() + b"\r\n\r\n" + body)

    thrice = msgspec.structs.replace(TWICE, retry=RetryPolicy(attempts_max=3, delay_first_s=0.01))
    with served_aside(script) as server, using(thrice):
        assert chat("Hi", local("m", base_url=server.url)).reply() == "Hello."


def test_an_answer_of_which_pieces_were_seen_is_not_asked_for_again() -> None:
    with served_aside(pieces(CHUNK)) as server, using(TWICE):
        answer = stream("Hi", local("m", base_url=server.url))
        assert next(answer) == "Hel"
        with pytest.raises(StreamCutError) as caught:
            answer.result()
    assert caught.value.text == "Hel"
    assert len(server.received) == 1
