"""How the tests ask a simulated model: by an HTTP client, or by bytes on a socket."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tidyllm.testing import SimulatedModel


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


def ask(
    model: SimulatedModel, path: str, body: object = None, *, method: str | None = None, key: str | None = None
) -> Reply:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPConnection(model.root.removeprefix("http://"), timeout=30)
    try:
        payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        connection.request(method or ("GET" if body is None else "POST"), path, payload, headers)
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, told, response.read())
    finally:
        connection.close()


def chat(model: SimulatedModel, text: str, *, name: str = "any-model", key: str | None = None) -> Reply:
    """Ask for a chat completion on a connection of its own."""
    body = {"model": name, "messages": [{"role": "user", "content": text}]}
    return ask(model, "/v1/chat/completions", body, key=key)


def order(model: SimulatedModel, word: str) -> dict[str, Any]:
    """Tell the model over HTTP what to do; return its counts."""
    return ask(model, f"/simulated/{word}", method="POST").json()


@contextmanager
def dial(model: SimulatedModel) -> Iterator[socket.socket]:
    """Give a connection to write bytes to."""
    host, _, port = model.root.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


def question(text: str, *headers: str) -> bytes:
    """Return a request for a chat completion, as bytes."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    return head("POST /v1/chat/completions HTTP/1.1", f"content-length: {len(body)}", *headers) + body


def head(*lines: str) -> bytes:
    """Return the head of a request, as bytes."""
    return "\r\n".join([*lines, "host: x", "", ""]).encode()
