"""A provider of files and batches in memory, which a test can make fail before or after it has done what was asked."""

import json
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

from tidyllm.core.clock import Clock
from tidyllm.core.wire import Multipart, Request, Response
from tidyllm.testing import ManualClock

Json: TypeAlias = dict[str, object]
Fault: TypeAlias = Exception | Response
ROUTES = {
    "upload": ("POST", r"/v1/files"),
    "content": ("GET", r"/v1/files/([^/]+)/content"),
    "create": ("POST", r"/v1/batches"),
    "page": ("GET", r"/v1/batches"),
    "get": ("GET", r"/v1/batches/([^/]+)"),
    "cancel": ("POST", r"/v1/batches/([^/]+)/cancel"),
}


def success_line(line: Json) -> Json:
    """Return the result line of a request that was answered by its own question in capitals."""
    body = line["body"]
    assert isinstance(body, dict)
    completion = {
        "id": f"chatcmpl-{line['custom_id']}",
        "model": f"{body['model']}-2026",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": body["messages"][-1]["content"].upper(), "refusal": None},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11},
    }
    response = {"status_code": 200, "request_id": "req_1", "body": completion}
    return {"id": "batch_req_1", "custom_id": line["custom_id"], "response": response, "error": None}


class FakeApi:
    """A `Sender` that is the provider."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.asked: list[str] = []
        """Which routes were asked, in order."""
        self.faults_before: dict[str, list[Fault]] = {}
        """By route, what goes wrong before the request is carried out."""
        self.faults_after: dict[str, list[Fault]] = {}
        """By route, what goes wrong after it was: the answer is lost."""
        self.on_receipt: Callable[[str], None] = lambda _: None
        """Called with the route of each request before anything else."""
        self.on_request: Callable[[str], None] = lambda _: None
        """Called with the URL of each request."""
        self.ignores_after = False
        """Whether every page of the list is its first one."""
        self.page_max = 100
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Json] = {}
        self.headers: list[tuple[tuple[str, str], ...]] = []
        self.clock = clock or ManualClock()
        self._numbers = count(1)

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        route, argument = self._route(request)
        self.asked.append(route)
        self.headers.append((*request.headers, *headers))
        self.on_receipt(route)
        self.on_request(request.url)
        if fault := _next(self.faults_before, route):
            return fault
        answer = self._answer(route, argument, request)
        return _next(self.faults_after, route) or answer

    def end(self, batch_id: str | None = None, *, status: str = "completed", **changes: object) -> Json:
        """End a batch, the newest unless told which; `changes` go into the batch object."""
        batch = self.batches[batch_id] if batch_id else list(self.batches.values())[-1]
        batch |= {"status": status, f"{status}_at": int(self.clock.now()), **changes}
        return batch

    def complete(self, output: list[Json] | None = None, error: list[Json] | None = None, **changes: object) -> Json:
        """End the newest batch with these result lines; without any, every request succeeded, in reverse order."""
        batch = list(self.batches.values())[-1]
        if output is None and error is None:
            output = [success_line(line) for line in reversed(self.lines())]
        files = {"output_file_id": self.keep(output), "error_file_id": self.keep(error)}
        counts = {"total": len(self.lines()), "completed": len(output or ()), "failed": len(error or ())}
        batch |= {"request_counts": counts} | files | changes
        return self.end(str(batch["id"]))

    def lines(self, batch_id: str | None = None) -> list[Json]:
        """Return the requests of a batch, the newest unless told which."""
        batch = self.batches[batch_id] if batch_id else list(self.batches.values())[-1]
        return [json.loads(line) for line in self.files[str(batch["input_file_id"])].splitlines()]

    def keep(self, lines: list[Json] | None) -> str | None:
        """Keep a file of such lines, and return its id."""
        if lines is None:
            return None
        file_id = f"file-{next(self._numbers)}"
        self.files[file_id] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return file_id

    def _route(self, request: Request) -> tuple[str, str]:
        path = urlsplit(request.url).path
        for route, (method, pattern) in ROUTES.items():
            if request.method == method and (found := re.fullmatch(pattern, path)):
                return route, "".join(found.groups())
        raise AssertionError(f"There is no route for {request.method} {request.url}.")

    def _answer(self, route: str, argument: str, request: Request) -> Response:
        if route == "upload":
            return self._upload(request)
        if route == "create":
            return self._create(request)
        if route == "page":
            return self._page(request)
        if route == "content":
            return self._content(argument, request)
        if argument not in self.batches:
            return refusal(404, f"No batch found with id '{argument}'.")
        if route == "cancel":
            self.batches[argument] |= {"status": "cancelling"}
        return _json(self.batches[argument])

    def _upload(self, request: Request) -> Response:
        assert isinstance(request.body, Multipart)
        content = {part.name: part.content for part in request.body.parts}
        assert content["purpose"] == b"batch"
        assert isinstance(content["file"], Path)
        file_id = f"file-{next(self._numbers)}"
        self.files[file_id] = content["file"].read_bytes()
        return _json({"id": file_id, "object": "file", "bytes": len(self.files[file_id]), "created_at": 1})

    def _create(self, request: Request) -> Response:
        assert isinstance(request.body, bytes)
        now = int(self.clock.now())
        batch = {
            "id": f"batch_{next(self._numbers):032x}",
            "object": "batch",
            "status": "validating",
            "created_at": now,
            "expires_at": now + 86_400,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            **json.loads(request.body),
        }
        self.batches[str(batch["id"])] = batch
        return _json(batch)

    def _page(self, request: Request) -> Response:
        query = parse_qs(urlsplit(request.url).query)
        newest_first = list(reversed(self.batches.values()))
        ids = [batch["id"] for batch in newest_first]
        start = ids.index(query["after"][0]) + 1 if "after" in query and not self.ignores_after else 0
        limit = min(int(query["limit"][0]), self.page_max)
        data = newest_first[start : start + limit]
        return _json({"object": "list", "data": data, "has_more": start + limit < len(ids)})

    def _content(self, file_id: str, request: Request) -> Response:
        if file_id not in self.files:
            return refusal(404, f"No such File object: {file_id}")
        assert request.sink is not None
        request.sink.write_bytes(self.files[file_id])
        return Response(status=200)


def refusal(status: int, message: str, code: str | None = None) -> Response:
    """Return an error answer as the API words it."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return Response(status=status, body=json.dumps({"error": error}).encode())


def _json(value: Json) -> Response:
    return Response(status=200, body=json.dumps(value).encode())


def _next(faults: dict[str, list[Fault]], route: str) -> Response | None:
    if not faults.get(route):
        return None
    fault = faults[route].pop(0)
    if isinstance(fault, Exception):
        raise fault
    return fault
