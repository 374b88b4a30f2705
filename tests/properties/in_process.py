"""The API asked in the same process, without a socket: what an ASGI server would send it, and what it answers."""

from typing import NamedTuple

import msgspec
from starlette.types import ASGIApp, Message

BOUNDARY = "a-boundary-that-no-file-contains"


class Answer(NamedTuple):
    """What a client would see of an answer."""

    status: int
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])

    def items(self) -> list[dict[str, object]]:
        """Return what a list holds; there is no more than this page."""
        assert (self.status, self.json["has_more"]) == (200, False), self
        return msgspec.convert(self.json["data"], list[dict[str, object]])

    @property
    def error(self) -> dict[str, object]:
        """The error object of a refusal, after a look at its form."""
        assert self.status >= 400, self
        error = msgspec.convert(self.json["error"], dict[str, object])
        assert list(error) == ["message", "type", "param", "code"], error
        return error


class Caller:
    """Asks an application, one request after the other."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def get(self, path: str) -> Answer:
        return await self._ask("GET", path)

    async def delete(self, path: str) -> Answer:
        return await self._ask("DELETE", path)

    async def post(self, path: str, value: object = None) -> Answer:
        """Send a value as JSON; nothing at all where it is None."""
        body = b"" if value is None else msgspec.json.encode(value)
        return await self._ask("POST", path, body=body, content_type="application/json")

    async def upload(self, data: bytes, fields: dict[str, str]) -> Answer:
        """Send a file as a form with these fields before it."""
        parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
        parts.append(b'name="file"; filename="in.jsonl"\r\n\r\n' + data)
        opening = f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode()
        body = b"".join(opening + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()
        return await self._ask("POST", "/v1/files", body=body, content_type=f"multipart/form-data; boundary={BOUNDARY}")

    async def _ask(self, method: str, target: str, *, body: bytes = b"", content_type: str = "") -> Answer:
        path, _, query = target.partition("?")
        headers = {"host": "localhost", "content-type": content_type, "content-length": str(len(body))}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value],
        }
        sent: list[Message] = []
        requests: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return requests.pop() if requests else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return Answer(sent[0]["status"], b"".join(message.get("body", b"") for message in sent))
