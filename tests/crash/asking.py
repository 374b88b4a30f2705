"""The API as a client of crash runs sees it: a server that may be gone at any moment, in the middle of anything."""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from tests.crash.serving import Serving

BROKEN = (OSError, http.client.HTTPException)
"""What comes of asking a server that is killed meanwhile: nobody knows whether it did what it was asked."""
TIMEOUT_S = 30.0
PAGE = 100
PAGES_MAX = 1000
Shape: TypeAlias = dict[str, Any]
"""A JSON object as the API answers it."""


class Answer(NamedTuple):
    """An answer that has come whole."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it is no refusal."""
        return self.status < 400

    def json(self) -> Shape:
        """Return the object in the body."""
        found: Shape = json.loads(self.body)
        return found


class Asking:
    """Asks one question after the other, each on a connection of its own; all methods may raise BROKEN."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def ask(self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Return the server's answer."""
        connection = self._connection()
        try:
            connection.request(method, path, body=body or None, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def ask_json(self, method: str, path: str, *, body: Shape) -> Answer:
        """Return the server's answer to a JSON body."""
        return self.ask(method, path, body=json.dumps(body).encode(), headers={"content-type": "application/json"})

    def upload(self, name: str, content: bytes) -> Answer:
        """Upload a batch input file."""
        body, headers = form(name, content)
        return self.ask("POST", "/v1/files", body=body, headers=headers)

    def upload_half(self, name: str, content: bytes) -> None:
        """Begin an upload and go away in the middle of it."""
        body, headers = form(name, content)
        connection = self._connection()
        try:
            connection.putrequest("POST", "/v1/files")
            for header, value in {**headers, "content-length": str(len(body))}.items():
                connection.putheader(header, value)
            connection.endheaders(body[: len(body) // 2])
        finally:
            connection.close()

    def all_of(self, path: str) -> Iterator[Shape]:
        """Yield all objects of a list, page after page."""
        after = ""
        for _ in range(PAGES_MAX):
            page = self.page(path, after=after)
            yield from page["data"]
            if not page["has_more"]:
                return
            after = page["last_id"]
        raise AssertionError(f"{path} has no end")

    def page(self, path: str, *, limit: int = PAGE, after: str = "") -> Shape:
        """Return one page of a list."""
        answer = self.ask("GET", f"{path}?limit={limit}" + (f"&after={after}" if after else ""))
        assert answer.ok, answer
        return answer.json()

    def content(self, file_id: str) -> bytes:
        """Return a file's bytes."""
        answer = self.ask("GET", f"/v1/files/{file_id}/content")
        assert answer.ok, (file_id, answer)
        return answer.body

    def _connection(self) -> http.client.HTTPConnection:
        if self._serving.address is None:
            raise ConnectionRefusedError("no server has said yet where it is")
        host, port = self._serving.address
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def form(name: str, content: bytes) -> tuple[bytes, Mapping[str, str]]:
    """Return the body of an upload of a batch input file, and the headers that it needs."""
    boundary = "boundary-of-a-crash-run"
    parts = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'.encode(),
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode(),
        content,
        f"\r\n--{boundary}--\r\n".encode(),
    )
    return b"".join(parts), {"content-type": f"multipart/form-data; boundary={boundary}"}
