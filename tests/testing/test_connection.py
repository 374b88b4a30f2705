import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.testing.asking import dial, head, question
from tidyllm.testing import Behavior, LatencyShape, SimulatedModel, simulated_model
from tidyllm.testing.connection import BODY_BYTES_MAX, HEAD_BYTES_MAX, PIPELINED_MAX

MIB = 1024 * 1024


@pytest.fixture
def model() -> Iterator[SimulatedModel]:
    with simulated_model() as running:
        yield running


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(MIB):
        received += data
    return received


def read_answers(connection: socket.socket, number: int) -> list[str]:
    """Return the texts of so many completions, in the order in which they came."""
    received = bytearray()
    while received.count(b'"total_tokens"') < number:
        data = connection.recv(MIB)
        assert data, received[-500:]
        received += data
    return re.findall(r'"content":"Simulated answer to: ([^"]*)"', received.decode())


def test_one_connection_carries_many_requests(model: SimulatedModel) -> None:
    with dial(model) as connection:
        for text in ("a", "b", "c"):
            connection.sendall(question(text))
            assert read_answers(connection, 1) == [text]


def test_pipelined_requests_are_answered_in_their_order() -> None:
    behavior = Behavior(latency_ms=3, latency_shape=LatencyShape.LOGNORMAL)
    texts = [str(number) for number in range(50)]
    with simulated_model(behavior) as model, dial(model) as connection:
        connection.sendall(b"".join(map(question, texts)))
        assert read_answers(connection, 50) == texts


def test_requests_may_come_byte_by_byte(model: SimulatedModel) -> None:
    with dial(model) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in question("slowly"):
            connection.send(bytes([byte]))
        assert read_answers(connection, 1) == ["slowly"]


def test_a_body_may_come_in_chunks(model: SimulatedModel) -> None:
    body = question("chunks").partition(b"\r\n\r\n")[2]
    chunks = [body[:10], body[10:40], body[40:]]
    with dial(model) as connection:
        connection.sendall(head("POST /v1/chat/completions HTTP/1.1", "transfer-encoding: chunked"))
        for chunk in chunks:
            connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        connection.sendall(b"0\r\n\r\n")
        assert read_answers(connection, 1) == ["chunks"]


def test_a_client_that_waits_to_be_asked_is_asked_for_the_body(model: SimulatedModel) -> None:
    start, _, body = question("asked", "expect: 100-continue").partition(b"\r\n\r\n")
    with dial(model) as connection:
        connection.sendall(start + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read_answers(connection, 1) == ["asked"]


def test_a_large_body_is_read_whole(model: SimulatedModel) -> None:
    with dial(model) as connection:
        connection.sendall(question("y" * 20 * MIB))
        assert read_answers(connection, 1) == ["y" * 60]


@pytest.mark.parametrize("line", ["connection: close", None])
def test_the_connection_is_closed_if_the_client_wants_it(model: SimulatedModel, line: str | None) -> None:
    request = question("last", line) if line else question("last").replace(b"HTTP/1.1", b"HTTP/1.0")
    with dial(model) as connection:
        connection.sendall(request + question("never read"))
        answer = read_all(connection)
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert model.witness.counts().received == 1


@pytest.mark.parametrize(
    "garbage", [b"this is no HTTP\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_what_is_not_http_is_refused_after_what_was(model: SimulatedModel, garbage: bytes) -> None:
    with dial(model) as connection:
        connection.sendall(question("good") + garbage)
        answer = read_all(connection)
    assert answer.index(b"200 OK") < answer.index(b"400 Bad Request")
    assert b"invalid_request_error" in answer


def test_a_head_without_end_is_refused(model: SimulatedModel) -> None:
    with dial(model) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\n")
        for _ in range(HEAD_BYTES_MAX // 1000 + 300):
            connection.sendall(b"x-filler: " + b"f" * 988 + b"\r\n")
        assert b"HTTP/1.1 431 " in read_all(connection)


def test_large_requests_one_after_another_are_not_taken_for_a_large_head(model: SimulatedModel) -> None:
    texts = [letter * HEAD_BYTES_MAX for letter in "abcdefgh"]
    with dial(model) as connection:
        connection.sendall(b"".join(map(question, texts)))
        assert read_answers(connection, 8) == [text[:60] for text in texts]


def test_a_body_announced_as_too_large_is_refused_before_it_comes(model: SimulatedModel) -> None:
    announced = head(
        "POST /v1/chat/completions HTTP/1.1", f"content-length: {BODY_BYTES_MAX + 1}", "expect: 100-continue"
    )
    with dial(model) as connection:
        connection.sendall(announced)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_grows_too_large_is_refused_and_its_sender_can_read_so(model: SimulatedModel) -> None:
    chunk = b"%x\r\n%s\r\n" % (MIB, b"z" * MIB)
    with dial(model) as connection:
        connection.sendall(head("POST /v1/chat/completions HTTP/1.1", "transfer-encoding: chunked"))
        for _ in range(BODY_BYTES_MAX // MIB + 4):
            connection.sendall(chunk)
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_a_request_for_another_protocol_is_answered_in_this_one(model: SimulatedModel) -> None:
    with dial(model) as connection:
        connection.sendall(head("GET /v1/models HTTP/1.1", "connection: upgrade", "upgrade: h2c"))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1") == 1


def test_an_answer_to_head_has_no_body(model: SimulatedModel) -> None:
    with dial(model) as connection:
        connection.sendall(head("HEAD /v1/models HTTP/1.1", "connection: close"))
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


def test_reading_stops_when_too_many_answers_are_due_and_goes_on_after_them(model: SimulatedModel) -> None:
    texts = [f"{number:05}" for number in range(10 * PIPELINED_MAX)]
    model.hold()
    with dial(model) as connection:
        connection.setblocking(False)
        unsent = memoryview(b"".join(map(question, texts)))
        unsent = unsent[connection.send(unsent) :]
        model.witness.wait(received=PIPELINED_MAX)
        connection.settimeout(30)
        model.release()
        connection.sendall(unsent)
        assert read_answers(connection, len(texts)) == texts


def test_a_client_that_does_not_read_loses_nothing(model: SimulatedModel) -> None:
    body = json.dumps({"model": "m", "input": "long", "dimensions": 4096}).encode()
    request = head("POST /v1/embeddings HTTP/1.1", f"content-length: {len(body)}") + body
    with dial(model) as connection:
        connection.sendall(request * 300)
        model.witness.wait(received=10)
        connection.sendall(question("the end", "connection: close"))
        received = read_all(connection)
    assert received.count(b'"object":"embedding"') == 300
    assert received.endswith(b"}")


def test_a_wait_that_an_earlier_answer_ends_is_answered_after_it(model: SimulatedModel) -> None:
    with dial(model) as connection:
        waiting = head("GET /simulated/wait?answered=1 HTTP/1.1", "connection: close")
        connection.sendall(question("earlier") + waiting)
        received = read_all(connection)
    assert received.index(b"Simulated answer to: earlier") < received.index(b'"answered":1')


def test_nothing_is_answered_after_an_answer_that_was_cut() -> None:
    with simulated_model(Behavior(broken_rate=1, seed=3)) as model, dial(model) as connection:
        model.hold()
        connection.sendall(b"".join(question(str(number)) for number in range(50)))
        model.witness.wait(received=50)
        model.release()
        received = read_all(connection)
    # Only once the model has ended is it certain that it has noticed the end of the connection.
    counts = model.witness.counts()
    assert received.count(b"HTTP/1.1") == counts.answered < 50
    assert b"connection: close" in received
    assert counts.abandoned == 50 - counts.answered


def test_requests_of_a_lost_connection_are_abandoned() -> None:
    with simulated_model() as model:
        model.hold()
        with dial(model) as connection:
            connection.sendall(question("a") + question("b"))
            model.witness.wait(received=2)
    counts = model.witness.counts()
    assert (counts.abandoned, counts.answered, counts.in_flight) == (2, 0, 0)
