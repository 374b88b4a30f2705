import asyncio
import errno
import logging
import re
import socket

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.server.api.conftest import Served
from tidyllm.core.errors import StorageError
from tidyllm.server.api.gate import Gate
from tidyllm.testing.clock import ManualClock


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9000", "127.0.0.1", "127.0.0.1:1", "127.9.9.9", "[::1]:8642", "[::1]"]
)
def test_loopback_names_are_served_at_any_port(shared: Served, host: str) -> None:
    assert shared.ask("GET", "/health", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[::2]",
        "192.168.0.1",
        "localhost@evil",
    ],
)
def test_foreign_host_is_refused_for_every_url(shared: Served, host: str) -> None:
    for path in ("/health", "/v1/batches", "/nowhere"):
        answer = shared.ask("GET", path, headers={"host": host})
        assert answer.status == 421
        assert answer.error["code"] == "host_not_allowed"
        assert host in str(answer.error["message"])


@pytest.mark.parametrize("lines", [b"", b"Host: localhost\r\nHost: evil.example\r\n"])
def test_request_needs_exactly_one_host(shared: Served, lines: bytes) -> None:
    with shared.talk() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n")
        assert b" 421 " in read_all(connection).partition(b"\r\n")[0]


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    return received


def ask_gate(headers: list[tuple[bytes, bytes]], *, host: str) -> int:
    """Return the status a gate in front of nothing answers with."""
    statuses = []

    async def nothing(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    gate = Gate(nothing, host=host, clock=ManualClock())
    asyncio.run(gate({"type": "http", "headers": headers}, receive, send))
    return int(statuses[0])


def test_configured_host_is_served() -> None:
    assert ask_gate([(b"host", b"batch.lan:8642")], host="Batch.LAN") == 204
    assert ask_gate([(b"host", b"batch.lan:8642")], host="127.0.0.1") == 421


def test_page_of_this_server_may_call_it(shared: Served) -> None:
    for origin in (shared.url, f"https://127.0.0.1:{shared.port}"):
        assert shared.ask("GET", "/health", headers={"origin": origin}).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1", ""])
def test_page_of_another_site_is_refused(shared: Served, origin: str) -> None:
    answer = shared.ask("POST", "/v1/batches", body=b"{}", headers={"origin": origin})
    assert answer.status == 403
    assert answer.error["code"] == "origin_not_allowed"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(("method", "path"), [("GET", "/health"), ("GET", "/nowhere"), ("GET", "/v1/files/file-x")])
def test_every_answer_is_stamped(shared: Served, method: str, path: str) -> None:
    first, second = shared.ask(method, path), shared.ask(method, path)
    assert re.fullmatch(r"req_[0-9a-f]{32}", first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.headers["openai-processing-ms"].isdigit()
    assert first.headers["openai-version"] == "2020-10-01"


def test_fault_of_ours_is_logged_and_not_shown(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    # SQLite keeps whole numbers up to 2^63: a clock beyond it makes the question fail.
    served.clock.advance(1e30)
    with caplog.at_level(logging.ERROR, logger="tidyllm"):
        answer = served.ask("GET", "/v1/files", headers={"authorization": "Bearer sk-secret"})
    assert answer.status == 500
    assert answer.error == {
        "message": "The server had an error while processing your request.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    (record,) = caplog.records
    assert answer.headers["x-request-id"] in record.getMessage()
    assert record.exc_info is not None
    assert "OverflowError" in caplog.text
    assert "sk-secret" not in caplog.text


def test_fault_in_mid_answer_is_left_to_the_web_server() -> None:
    async def breaks(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise OSError("the disk is gone")

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        assert message["status"] == 200

    gate = Gate(breaks, host="localhost", clock=ManualClock())
    with pytest.raises(OSError, match="the disk is gone"):
        asyncio.run(gate({"type": "http", "headers": [(b"host", b"localhost")]}, receive, send))


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (StorageError("full", full=True), 507, b"insufficient_storage"),
        (OSError(errno.ENOSPC, "full"), 507, b"insufficient_storage"),
        (StorageError("locked"), 503, b"storage_unavailable"),
        (OSError(errno.EIO, "failing"), 503, b"storage_unavailable"),
        (OSError(errno.EMFILE, "too many"), 503, b"storage_unavailable"),
        (ValueError("a fault of ours"), 500, b"null"),
    ],
)
def test_trouble_with_the_storage_is_told_as_what_it_is(fault: Exception, status: int, code: bytes) -> None:
    told: list[Message] = []

    async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise fault

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"localhost")]}
    asyncio.run(Gate(fail, host="localhost", clock=ManualClock())(scope, receive, send))
    assert told[0]["status"] == status
    assert code in told[1]["body"]


def test_a_request_that_a_stop_cuts_off_is_told_so() -> None:
    told: list[Message] = []

    async def hang(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        told.append(message)

    async def scenario() -> None:
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"localhost")]}
        request = asyncio.create_task(Gate(hang, host="localhost", clock=ManualClock())(scope, receive, send))
        await asyncio.sleep(0)
        request.cancel()
        await request

    asyncio.run(scenario())
    assert told[0]["status"] == 503
    assert b"is stopping" in told[1]["body"]


def test_time_until_the_answer_is_told_in_milliseconds() -> None:
    clock = ManualClock()
    told = []

    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        clock.advance(0.25)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        told.extend(message["headers"])

    asyncio.run(Gate(slow, host="x", clock=clock)({"type": "http", "headers": [(b"host", b"x")]}, receive, send))
    assert (b"openai-processing-ms", b"250") in told
    assert (b"a", b"b") in told


def test_what_is_not_http_passes() -> None:
    passed = []

    async def application(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope["type"])

    async def receive() -> Message:
        raise AssertionError

    async def send(_message: Message) -> None:
        raise AssertionError

    asyncio.run(Gate(application, host="localhost", clock=ManualClock())({"type": "lifespan"}, receive, send))
    assert passed == ["lifespan"]
