import json
import socket
from collections.abc import Callable

from tests.server.api.conftest import Served


def _answer(served: Served, head: bytes, *, then: Callable[[socket.socket], None] | None = None) -> bytes:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(head)
        if then:
            then(connection)
        received = b""
        try:
            while chunk := connection.recv(65_536):
                received += chunk
                if received.endswith(b"}"):
                    break
        except ConnectionResetError:  # The server closed while we were still sending: what it said came before.
            pass
        return received


def test_a_head_that_does_not_end_is_refused(shared: Served) -> None:
    answer = _answer(shared, b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + b"x-long: " + b"a" * 400_000)
    status, _, rest = answer.partition(b"\r\n")
    assert status == b"HTTP/1.1 431 Request Header Fields Too Large"
    head, _, body = rest.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_each_request_of_a_connection_has_a_head_of_its_own(shared: Served) -> None:
    one = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-long: " + b"a" * 40_000 + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.port), timeout=30) as connection:
        for _ in range(4):
            connection.sendall(one)
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(65_536)
            assert received.startswith(b"HTTP/1.1 200")
