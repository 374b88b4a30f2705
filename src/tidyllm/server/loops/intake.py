"""Reading an uploaded input file once: every line checked, the file cut into shards."""

import asyncio
import logging
import math
import re
from array import array
from collections.abc import Sequence
from typing import BinaryIO, TypeAlias

import msgspec

from tidyllm.core.batch import Problem
from tidyllm.core.clock import Clock
from tidyllm.core.jsonl import Line, read_lines
from tidyllm.core.wire import MIB
from tidyllm.server.blob import Blobs
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.lines import MAIN_FIELD
from tidyllm.server.patience import PutOff
from tidyllm.server.process import UpstreamsNow
from tidyllm.server.records import SHARD_REQUESTS_MAX, BatchRecord, Shard
from tidyllm.server.settings import Settings
from tidyllm.server.thread import StoreThread

log = logging.getLogger(__name__)

SHARDS_WANTED = 64
"""Shards of a large batch: enough to spread over workers, few enough to sum over at every report. A very large one has
more, as `SHARD_REQUESTS_MAX` says."""
SHARD_REQUESTS_MIN = 16
SHARD_BYTES_MAX = 4 * MIB


DEPTH_MAX = 500
"""Levels of nesting in a line: well below what any reader of the line can take, whatever its stack holds."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


class Input(msgspec.Struct, frozen=True):
    """What a good input file holds."""

    model: str
    shards: tuple[Shard, ...]


class _Body(msgspec.Struct):
    model: str
    stream: bool | None = None
    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()


class _Envelope(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: _Body


_envelope = msgspec.json.Decoder(_Envelope)
_FIELDS: tuple[tuple[str, type, str], ...] = (
    ("custom_id", str, "a string"),
    ("method", str, "a string"),
    ("url", str, "a string"),
    ("body", dict, "an object"),
    ("body.model", str, "a string"),
    ("body.stream", bool, "a boolean"),
)
"""What a request line is checked for, in the order in which it is reported."""
_OPTIONAL = frozenset({"body.stream"})
Problems: TypeAlias = tuple[Problem, ...]


class Intake:
    """Moves batches from validating to in_progress, or to failed with the reasons."""

    def __init__(
        self, *, store: StoreThread, blobs: Blobs, clock: Clock, settings: Settings, upstreams: UpstreamsNow
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._settings = settings
        self._upstreams = upstreams
        self._unreadable = PutOff(clock)

    async def run_once(self) -> bool:
        """Read the oldest unread batch's input; return whether there was one."""
        waiting = self._unreadable.waiting()
        unread = await self._store.run(lambda store: store.unread_batches(limit=len(waiting) + 1))
        batch = next((batch for batch in unread if batch.id not in waiting), None)
        if batch is None:
            return False
        try:
            found = await self._found(batch)
        except OSError as error:
            self._unreadable.put_off(batch.id, error, what="The intake")  # The batches behind it go on.
            return True
        self._unreadable.settle(batch.id)
        if isinstance(found, Input) and not any(upstream.takes(found.model) for upstream in self._upstreams.now):
            found = (_untaken(found.model, self._upstreams.now),)
        now = int(self._clock.now())
        if isinstance(found, Input):
            model, shards = found.model, found.shards
            await self._store.run(lambda s: s.start_batch(batch.id, model=model, shards=shards, now=now))
        else:
            await self._store.run(lambda s: s.fail_batch(batch.id, problems=found, now=now))
        return True

    async def _found(self, batch: BatchRecord) -> Input | Problems:
        try:
            return await asyncio.to_thread(self._read, batch)
        except OSError:
            raise
        except Exception:
            # The next batches wait behind this one: no input, however strange, may hold them up for ever.
            log.exception("The input of %s cannot be read.", batch.id)
            message = "The server met an error of its own while it read the input file; its log says more."
            return (Problem(code="server_error", message=message),)

    def _read(self, batch: BatchRecord) -> Input | Problems:
        missing = f"Cannot find file {batch.input_file_id}, or this project does not have access to it."
        nowhere = (Problem(code="invalid_request", message=missing, param="file_id"),)
        if batch.input_blob is None:
            return nowhere
        try:
            file = self._blobs.open(batch.input_blob)
        except FileNotFoundError:
            return nowhere
        with file:
            return read_input(file, endpoint=batch.endpoint, settings=self._settings)


def _untaken(model: str, upstreams: Sequence[UpstreamSettings]) -> Problem:
    there = ", ".join(f"{upstream.name} ({', '.join(upstream.models)})" for upstream in upstreams)
    message = f"No upstream takes the model '{model[:200]}': there are {there}."
    return Problem(code="model_not_found", message=message, param="body.model")


def read_input(file: BinaryIO, *, endpoint: str, settings: Settings) -> Input | Problems:
    """Return a good file's plan, or the problems of a bad one: all of them, up to `problems_max`, with line numbers."""
    check = _Check(endpoint)
    cut = _Cut()
    problems: list[Problem] = []
    for requests, line in enumerate(read_lines(file, line_bytes_max=settings.line_bytes_max), 1):
        if requests > settings.batch_requests_max:
            most = f"{settings.batch_requests_max:,}"
            problems.append(
                Problem(code="too_many_tasks", message=f"The file has more than {most} requests; split it.")
            )
            break
        if found := check.line(line, settings.line_bytes_max):
            problems.append(found)
            if len(problems) >= settings.problems_max:
                break
        cut.add(line)
    if problems:
        return tuple(problems)
    if check.model is None:
        message = "The input file is empty. Please ensure that the batch contains at least one request."
        return (Problem(code="empty_file", message=message),)
    return Input(check.model, cut.shards())


class _Check:
    """Checks lines against the endpoint and against the lines before them."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._main_field = MAIN_FIELD[endpoint]
        self._custom_ids: set[str] = set()
        self.model: str | None = None

    def line(self, line: Line, line_bytes_max: int) -> Problem | None:
        if len(line.data) > line_bytes_max:
            return _problem(line, "invalid_json_line", message=f"This line is longer than {line_bytes_max:,} bytes.")
        if _too_deep(line.data):
            return _problem(line, "invalid_json_line", message=f"This line is nested deeper than {DEPTH_MAX} levels.")
        try:
            line.data.decode()
            envelope = _envelope.decode(line.data)
        except msgspec.ValidationError:
            return _diagnose(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _not_json(line)
        return self._values(line, envelope)

    def _values(self, line: Line, envelope: _Envelope) -> Problem | None:
        return self._route(line, envelope) or self._model(line, envelope.body) or self._custom_id(line, envelope)

    def _route(self, line: Line, envelope: _Envelope) -> Problem | None:
        body = envelope.body
        if not envelope.custom_id:
            return _missing(line, "custom_id")
        if envelope.method != "POST":
            message = f"Invalid method '{envelope.method[:20]}'. The only supported method is 'POST'."
            return _problem(line, "invalid_method", message=message, param="method")
        if envelope.url != self._endpoint:
            message = "The URL provided for this request does not match the batch endpoint."
            return _problem(line, "invalid_url", message=message, param="url")
        if bytes(getattr(body, self._main_field)) in (b"", b"null"):
            return _missing(line, f"body.{self._main_field}")
        if body.stream:
            return _problem(
                line, "streaming_unsupported", message="Streaming is not supported in a batch.", param="body.stream"
            )
        return None

    def _model(self, line: Line, body: _Body) -> Problem | None:
        if self.model is None:
            self.model = body.model
        elif body.model != self.model:
            message = (
                f"The model '{body.model[:200]}' for this request does not match the rest of the batch. "
                "Each batch must contain requests for a single model."
            )
            return _problem(line, "mismatched_model", message=message, param="body.model")
        return None

    def _custom_id(self, line: Line, envelope: _Envelope) -> Problem | None:
        if envelope.custom_id in self._custom_ids:
            message = (
                f"The custom_id '{envelope.custom_id[:200]}' for this request is a duplicate of another request. "
                "The custom_id parameter must be unique for each request in a batch."
            )
            return _problem(line, "duplicate_custom_id", message=message, param="custom_id")
        self._custom_ids.add(envelope.custom_id)
        return None


def _problem(line: Line, code: str, *, message: str, param: str | None = None) -> Problem:
    return Problem(code=code, message=message, param=param, line=line.number)


def _not_json(line: Line) -> Problem:
    return _problem(line, "invalid_json_line", message="This line is not parseable as valid JSON.")


def _too_deep(data: bytes) -> bool:
    if data.count(b"{") + data.count(b"[") <= DEPTH_MAX:
        return False
    depth = 0
    for bracket in re.findall(rb"[\[\]{}]", _STRING.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_MAX:
            return True
    return False


def _missing(line: Line, param: str) -> Problem:
    name = param.removeprefix("body.")
    return _problem(line, "missing_required_parameter", message=f"Missing required parameter: '{name}'.", param=param)


def _diagnose(line: Line) -> Problem:
    """Say which field is missing or of the wrong type in a line that is JSON but not a request."""
    try:
        fields = msgspec.json.decode(line.data)
    except (msgspec.DecodeError, RecursionError):  # A wrong type was met before the place where the JSON breaks.
        return _not_json(line)
    if not isinstance(fields, dict):
        return _problem(line, "invalid_json_line", message="This line is not a JSON object.")
    body = fields.get("body")
    inner = {f"body.{name}": value for name, value in body.items()} if isinstance(body, dict) else {}
    for param, kind, expected in _FIELDS:
        value = {**fields, **inner}.get(param)
        if value is None and param in _OPTIONAL:
            continue
        if value is None:
            return _missing(line, param)
        if not isinstance(value, kind):
            return _problem(
                line, "invalid_type", message=f"Invalid type for '{param}': expected {expected}.", param=param
            )
    # Of two fields of one name the strict reader met the first, and `fields` holds the last.
    return _not_json(line)


class _Cut:
    """Collects where lines lie, in a few bytes each, and cuts them into shards."""

    def __init__(self) -> None:
        self._numbers = array("L")
        self._starts = array("Q")
        self._ends = array("Q")

    def add(self, line: Line) -> None:
        self._numbers.append(line.number)
        self._starts.append(line.offset)
        self._ends.append(line.offset + len(line.data))

    def shards(self) -> tuple[Shard, ...]:
        total = len(self._numbers)
        wanted = min(max(math.ceil(total / SHARDS_WANTED), SHARD_REQUESTS_MIN), SHARD_REQUESTS_MAX)
        shards: list[Shard] = []
        first = 0
        for after in range(1, total + 1):
            full = after - first >= wanted
            if after == total or full or self._ends[after] - self._starts[first] > SHARD_BYTES_MAX:
                shards.append(self._shard(len(shards), first=first, after=after))
                first = after
        return tuple(shards)

    def _shard(self, number: int, *, first: int, after: int) -> Shard:
        return Shard(
            number=number,
            line_first=self._numbers[first],
            requests=after - first,
            offset=self._starts[first],
            length=self._ends[after - 1] - self._starts[first],
        )
