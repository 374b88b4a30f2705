"""What the fakes of all providers share: routes, faults, the batches that are kept; and the fake of OpenAI's Batch API.

A fake of another API is a subclass of `BatchFake` with its routes, and the methods that its docstring names.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import ClassVar, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from tests.lifecycle.answers import Json, completion, embedding, response
from tests.lifecycle.fate import CANCELLED, EXPIRED, FAILED, MISSING, OK, VECTOR, Fate, Unanswered
from tidyllm.core.clock import Clock
from tidyllm.core.wire import Multipart, Request, Response

Fault: TypeAlias = Exception | Response
DAY_S = 86_400
ENDS = ("completed", "failed", "expired", "cancelled")


class Kept(msgspec.Struct, kw_only=True):
    """A batch as its provider keeps it."""

    id: str
    said: Json
    """What the request that created it said."""
    path: str
    """Which of the API's endpoints its requests go to."""
    requests: list[tuple[str, Json]]
    """Each with its custom_id and the live API's body."""
    created_at: float
    status: str = "validating"
    """In OpenAI's words; validating until it was looked at once."""
    cancelling_at: float | None = None
    ended_at: float | None = None
    answers: Mapping[str, Fate] = {}
    lie: bool = False
    files: dict[str, str] = {}
    """Ids of its result files, by what is in them."""
    is_deleted: bool = False

    def ended_requests(self) -> list[tuple[str, Json, Fate]]:
        """Return what became of each request that the results speak of, in another order than they were asked in."""
        told = [(custom_id, body, self.answers.get(custom_id, MISSING)) for custom_id, body in reversed(self.requests)]
        return [one for one in told if one[2] is not MISSING]

    def how_many(self, *kinds: object) -> int:
        """Return how many requests ended so; each kind is a class of fates, or one that is a value."""
        fates = [fate for _, _, fate in self.ended_requests()]
        return sum(fate in kinds or type(fate) in kinds for fate in fates)

    def counts(self) -> tuple[int, int, int]:
        """Return the requests, those that succeeded and those that failed; wrong ones where the provider lies."""
        total = len(self.requests)
        completed, failed = self.how_many(OK, VECTOR), self.how_many(FAILED)
        if self.lie:
            return (total, 0, total) if completed else (total, total, 0)
        return total, completed, failed


class BatchFake:
    """A `Sender` that is a provider of batches.

    A subclass has `provider`, `model`, `routes` and, for those of the routes that it has, what answers them:
    `upload`, `create`, `page`; `get`, `cancel`, `delete` and `content` are here. `shown` is a batch on the wire, and
    `write` makes the result files of one that has ended. What a request may not look like is an AssertionError.
    """

    provider: ClassVar[str]
    model: ClassVar[str]
    embed_model: ClassVar[str | None] = None
    """A model to make vectors, where batches take that."""
    base_url: ClassVar[str | None] = None
    """Where it is, where everybody has an address of their own."""
    unsaid: ClassVar[frozenset[str]] = frozenset()
    """Fields of live requests that are not said in batches."""
    routes: ClassVar[Mapping[str, tuple[str, str]]]
    """By name, the method and a pattern of the path; its groups, put together, are the route's argument."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.batches: dict[str, Kept] = {}
        """All that were ever created, by id, in order."""
        self.files: dict[str, bytes] = {}
        """What was uploaded, and what is to be fetched, by id."""
        self.asked: list[str] = []
        """Which routes were asked, in order."""
        self.faults_before: dict[str, list[Fault]] = {}
        """By route, what goes wrong before the request is carried out."""
        self.faults_after: dict[str, list[Fault]] = {}
        """By route, what goes wrong after it was: the answer is lost."""
        self.page_max = 100
        """How many batches a page has at most, however many are asked for."""
        self._numbers = count(1)

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        self.check(request, headers)
        route, argument = self._route(request)
        self.asked.append(route)
        if fault := _next(self.faults_before, route):
            return fault
        answer = self._handler(route)(argument, request)
        return _next(self.faults_after, route) or answer

    def requests(self, batch_id: str) -> list[tuple[str, Json]]:
        """Return the requests of a batch as the provider understood them, each with its custom_id."""
        return self.batches[batch_id].requests

    def end(self, batch_id: str, answers: Mapping[str, Fate], *, status: str = "completed", lie: bool = False) -> None:
        """End a batch; a request without a fate is MISSING. `lie`: its counts do not agree with its results."""
        kept = self.batches[batch_id]
        assert status in ENDS
        assert kept.status not in ENDS
        assert answers.keys() <= {custom_id for custom_id, _ in kept.requests}
        kept.status, kept.answers, kept.lie, kept.ended_at = status, answers, lie, self.clock.now()
        self.write(kept)

    # What a subclass may say otherwise

    def check(self, request: Request, headers: tuple[tuple[str, str], ...]) -> None:
        """Assert what every request must have; `headers` carry the key."""

    def shown(self, kept: Kept) -> Json:
        """Return a batch on the wire."""
        raise NotImplementedError

    def write(self, kept: Kept) -> None:
        """Make the result files of a batch that has ended; some make theirs when they are asked for."""

    def refusal(self, status: int, message: str) -> Response:
        """Return an error answer as the API words it."""
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        return json_answer({"error": error}, status=status)

    def upload(self, argument: str, request: Request) -> Response:
        raise NotImplementedError

    def create(self, argument: str, request: Request) -> Response:
        raise NotImplementedError

    def page(self, argument: str, request: Request) -> Response:
        raise NotImplementedError

    def get(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        kept = self.batches.get(argument)
        if kept is None or kept.is_deleted:
            return self.refusal(404, f"No batch found with id '{argument}'.")
        if kept.status == "validating":
            kept.status = "in_progress"
        return json_answer(self.shown(kept))

    def cancel(self, argument: str, request: Request) -> Response:
        kept = self.batches.get(argument)
        if kept is not None and kept.status in ("completed", "failed"):
            return self.refusal(409, f"Cannot cancel a batch with status '{kept.status}'.")
        if kept is not None and kept.status not in ENDS:
            kept.status, kept.cancelling_at = "cancelling", self.clock.now()
        return self.get(argument, request)

    def delete(self, argument: str, request: Request) -> Response:
        kept = self.batches.get(argument)
        if kept is None or kept.is_deleted:
            return self.get(argument, request)
        if kept.status not in ENDS:
            return self.refusal(400, f"The batch {argument} has not ended: cancel it first.")
        kept.is_deleted = True
        return json_answer({})

    def content(self, argument: str, request: Request) -> Response:
        if argument not in self.files:
            return self.refusal(404, f"No such File object: {argument}")
        return sunk(self.files[argument], request)

    # What a subclass is helped by

    def new_id(self, prefix: str) -> str:
        """Return an id that nothing else has."""
        return f"{prefix}{next(self._numbers):08x}"

    def keep(self, kept: Kept) -> Response:
        """Keep a new batch, and return the answer that shows it."""
        assert kept.requests, "the batch is empty"
        self.batches[kept.id] = kept
        return json_answer(self.shown(kept))

    def keep_file(self, lines: list[Json], prefix: str = "file-") -> str:
        """Keep a file of such lines, and return its id."""
        file_id = self.new_id(prefix)
        self.files[file_id] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return file_id

    def newest_first(self) -> list[Kept]:
        """Return what the list of batches holds."""
        return [kept for kept in reversed(self.batches.values()) if not kept.is_deleted]

    def listed(self, request: Request, *, after: str, limit: str) -> tuple[list[Kept], bool]:
        """Return the batches of one page, and whether there are more; `after` and `limit` are the query's names."""
        asked, newest = query(request), self.newest_first()
        start = [kept.id for kept in newest].index(asked[after]) + 1 if after in asked else 0
        end = start + min(int(asked[limit]), self.page_max)
        return newest[start:end], end < len(newest)

    def _handler(self, route: str) -> Callable[[str, Request], Response]:
        handler: Callable[[str, Request], Response] = getattr(self, route)
        return handler

    def _route(self, request: Request) -> tuple[str, str]:
        path = urlsplit(request.url).path
        for route, (method, pattern) in self.routes.items():
            if request.method == method and (found := re.fullmatch(pattern, path)):
                return route, unquote("".join(found.groups("")))
        raise AssertionError(f"There is no route for {request.method} {request.url}.")


class OpenAIBatches(BatchFake):
    """OpenAI's Files and Batch API, and those of everybody who has the same."""

    root: ClassVar[str] = "/v1"
    """Where its paths begin."""
    endpoints: ClassVar[tuple[str, ...]] = ("/v1/chat/completions",)
    batches_path: ClassVar[str] = "/batches"
    has_files: ClassVar[bool] = True
    has_cancel: ClassVar[bool] = True
    has_delete: ClassVar[bool] = False
    window: ClassVar[str] = "24h"
    more_routes: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Whatever else it has; a method of the same name answers."""
    absent: ClassVar[str | None] = ""
    """What stands for the id of a file that there is not; an empty text has been seen."""

    def __init_subclass__(cls) -> None:
        files, batches = f"{cls.root}/files", cls.root + cls.batches_path
        routes = {
            "create": ("POST", batches),
            "page": ("GET", batches),
            "get": ("GET", f"{batches}/([^/]+)"),
        }
        if cls.has_files:
            routes |= {"upload": ("POST", files), "content": ("GET", f"{files}/([^/]+)/content")}
        if cls.has_cancel:
            routes["cancel"] = ("POST", f"{batches}/([^/]+)/cancel")
        if cls.has_delete:
            routes["delete"] = ("DELETE", f"{batches}/([^/]+)")
        cls.routes = {**routes, **cls.more_routes}

    def upload(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        parts = form(request)
        assert parts["purpose"] == b"batch"
        assert parts["file"], "the file is empty"
        file_id = self.new_id("file-")
        self.files[file_id] = parts["file"]
        return json_answer({"id": file_id, "object": "file", "bytes": len(parts["file"]), "created_at": 1})

    def create(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        said = json_of(request)
        assert said["completion_window"] == self.window
        check_notes(said["metadata"])
        lines = lines_of(self.files[str(said["input_file_id"])])
        return self.begun(said, lines)

    def begun(self, said: Json, lines: list[Json]) -> Response:
        """Keep the batch that these lines make, and return the answer that shows it."""
        assert said["endpoint"] in self.endpoints
        requests = [self.understood(line, said) for line in lines]
        check_ids([custom_id for custom_id, _ in requests])
        assert len({str(body["model"]) for _, body in requests}) == 1, "a batch has one model"
        return self.keep(
            Kept(
                id=self.new_id("batch_"),
                said=said,
                path=str(said["endpoint"]),
                requests=requests,
                created_at=self.clock.now(),
            )
        )

    def understood(self, line: Json, said: Json) -> tuple[str, Json]:
        """Return the custom_id and the body of a line of the input file of a batch that is asked for so."""
        assert line.keys() == {"custom_id", "method", "url", "body"}
        assert (line["method"], line["url"]) == ("POST", said["endpoint"])
        body = line["body"]
        assert isinstance(body, dict)
        assert "stream" not in body
        return str(line["custom_id"]), body

    def page(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        page, more = self.listed(request, after="after", limit="limit")
        return json_answer({"object": "list", "data": [self.shown(kept) for kept in page], "has_more": more})

    def shown(self, kept: Kept) -> Json:
        total, completed, failed = (0, 0, 0) if kept.status == "validating" else kept.counts()
        files: dict[str, str | None] = {"output_file_id": None, "error_file_id": None}
        if kept.status in ENDS:
            files = {f"{kind}_file_id": kept.files.get(kind, self.absent) for kind in ("output", "error")}
        return {
            "id": kept.id,
            "object": "batch",
            "endpoint": kept.path,
            "input_file_id": kept.said["input_file_id"],
            "completion_window": self.window,
            "status": kept.status,
            **files,
            "created_at": int(kept.created_at),
            "expires_at": int(kept.created_at) + DAY_S,
            "cancelling_at": _whole(kept.cancelling_at),
            **{f"{end}_at": _whole(kept.ended_at) if kept.status == end else None for end in ENDS},
            "request_counts": {"total": total, "completed": completed, "failed": failed},
            "errors": {"object": "list", "data": self.problems()} if kept.status == "failed" else None,
            "metadata": kept.said["metadata"],
        }

    def problems(self) -> list[Json]:
        """Return why a batch failed as a whole."""
        message = "Missing required parameter: 'messages'."
        return [{"code": "missing_required_parameter", "message": message, "param": "body.messages", "line": 1}]

    def write(self, kept: Kept) -> None:
        lines: dict[str, list[Json]] = {"output": [], "error": []}
        for custom_id, body, fate in kept.ended_requests():
            kind = "output" if isinstance(fate, OK | VECTOR) else "error"
            line = {"id": "batch_req_1", "custom_id": custom_id, **self.result(body, fate, path=kept.path)}
            lines[kind].append(line)
        kept.files = {kind: self.keep_file(its) for kind, its in lines.items() if its}

    def result(self, body: Json, fate: Fate, *, path: str) -> Json:
        """Return what a result line says of how its request ended."""
        if isinstance(fate, OK | VECTOR):
            live = self.live(body, fate, path=path)
            return {"response": {"status_code": 200, "request_id": "req_1", "body": live}, "error": None}
        if isinstance(fate, FAILED):
            error = {"message": fate.message, "type": "invalid_request_error", "param": None, "code": None}
            failed = {"status_code": fate.status, "request_id": "req_1", "body": {"error": error}}
            return {"response": failed, "error": None}
        code, message = _NEVER_RUN[fate]
        return {"response": None, "error": {"code": code, "message": message}}

    def live(self, body: Json, fate: OK | VECTOR, *, path: str) -> Json:
        """Return what the live API would have answered."""
        if isinstance(fate, VECTOR):
            assert path.endswith("/embeddings")
            return embedding(body, fate)
        return response(body, fate) if path.endswith("/responses") else completion(body, fate)


_NEVER_RUN: Mapping[Unanswered, tuple[str, str]] = {
    EXPIRED: ("batch_expired", "This request could not be executed before the completion window expired."),
    CANCELLED: ("batch_cancelled", "This request was not executed because the batch was cancelled."),
}


def json_answer(value: Json, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that holds JSON."""
    return Response(status=status, body=json.dumps(value).encode(), headers=headers or {})


def sunk(content: bytes, request: Request) -> Response:
    """Return the answer whose content is written where the request says."""
    assert request.sink is not None
    request.sink.write_bytes(content)
    return Response(status=200)


def body_of(request: Request) -> bytes:
    """Return the body of a request, from disk where it is there."""
    assert isinstance(request.body, bytes | Path)
    return request.body if isinstance(request.body, bytes) else request.body.read_bytes()


def json_of(request: Request) -> Json:
    """Return the body of a request that holds JSON and says so."""
    assert ("content-type", "application/json") in request.headers
    said = json.loads(body_of(request))
    assert isinstance(said, dict)
    return said


def lines_of(file: bytes) -> list[Json]:
    """Return the lines of a file, none of which may be blank; the last one may end as the others do."""
    return [json.loads(line) for line in file.removesuffix(b"\n").split(b"\n")]


def form(request: Request) -> dict[str, bytes]:
    """Return the parts of a form."""
    assert isinstance(request.body, Multipart)
    return {
        part.name: part.content if isinstance(part.content, bytes) else part.content.read_bytes()
        for part in request.body.parts
    }


def query(request: Request) -> dict[str, str]:
    """Return what the URL asks for besides."""
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


def check_ids(custom_ids: list[str], pattern: str = r".{1,64}") -> None:
    """Assert that the requests of a batch can be told apart."""
    assert len(set(custom_ids)) == len(custom_ids)
    assert all(re.fullmatch(pattern, custom_id) for custom_id in custom_ids), custom_ids


def check_notes(notes: object) -> None:
    """Assert what OpenAI asks of metadata; spec/openai-batch 4.1."""
    assert isinstance(notes, dict)
    assert len(notes) <= 16
    assert all(isinstance(value, str) and len(name) <= 64 and len(value) <= 512 for name, value in notes.items())


def rfc3339(seconds: float | None) -> str | None:
    """Return a moment as most APIs write it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)


def _next(faults: Mapping[str, list[Fault]], route: str) -> Response | None:
    if not faults.get(route):
        return None
    fault = faults[route].pop(0)
    if isinstance(fault, Exception):
        raise fault
    return fault
