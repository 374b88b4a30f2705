"""The endpoint that answers a batch's requests: how one is asked, and whose fault a failure is.

* answered       200-299 with a JSON body: a line of the output file.
* the line's     400 and its like at once; 408, other 5xx, broken bodies and time-outs after `attempts_max` sends:
                 a line of the error file, with the upstream's own words where it said any.
* the upstream's refused connections, 401, 429, 503, 529: nobody's attempt is used up; the request waits and is
                 sent again until it is answered, or its batch stops.
"""

import asyncio
import logging
import math
import random
from enum import Enum
from typing import Protocol

import msgspec

from tidyllm.core.batch import BatchUsage
from tidyllm.core.clock import Clock
from tidyllm.core.errors import AnswerTimeoutError, ConnectError, TransportError
from tidyllm.core.jsonl import BOM
from tidyllm.core.retry_after import retry_after_s
from tidyllm.core.wire import Request, Response
from tidyllm.journal import Kind
from tidyllm.server.lines import RequestLine, as_json, error_line, http_line, read_answer
from tidyllm.server.settings import Settings
from tidyllm.server.words import as_sentence
from tidyllm.transport.drive import Sender

log = logging.getLogger(__name__)


class Result(msgspec.Struct, frozen=True):
    """How a request ended, as it will stand in the journal."""

    kind: Kind
    data: bytes
    """The finished result line."""
    usage: BatchUsage = BatchUsage()


class Fault(Enum):
    """Whose fault a failed attempt is, and so what it costs."""

    UPSTREAM = "upstream"
    """Wait and ask again; no attempt is used up."""
    ATTEMPT = "attempt"
    """Ask again while attempts are left."""
    REQUEST = "request"
    """This request will never be accepted."""


TELL_EVERY_S = 60.0
"""A trouble that comes and goes is told at most this often; one that stays, once."""
_UPSTREAM_STATUSES = frozenset({401, 429, 503, 529})
_TIMED_OUT = 408
_SERVER_FAULT = 500
_TOO_MANY = 429


def fault_of(failure: Response | TransportError) -> Fault:
    """Say whose fault an answer outside 200-299, or no answer at all, is."""
    if isinstance(failure, TransportError):
        return Fault.UPSTREAM if isinstance(failure, ConnectError) else Fault.ATTEMPT
    if failure.status in _UPSTREAM_STATUSES:
        return Fault.UPSTREAM
    passing = failure.ok or failure.status == _TIMED_OUT or failure.status >= _SERVER_FAULT
    return Fault.ATTEMPT if passing else Fault.REQUEST


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a batch, on its way to the upstream."""

    batch_id: str
    line: int
    endpoint: str
    request: RequestLine


class Trail(Protocol):
    """What becomes of a line, told while it happens: a line that kills whoever asks it must be found out."""

    async def may_send(self) -> bool:
        """Return whether the request may go out, which it then does; waits while its answer could not be kept."""
        ...

    def returned(self) -> None:
        """Hear that the exchange is over and has brought no result."""
        ...


class Upstream:
    """One OpenAI-compatible endpoint."""

    def __init__(
        self,
        *,
        sender: Sender,
        headers: tuple[tuple[str, str], ...],
        clock: Clock,
        rng: random.Random,
        settings: Settings,
    ) -> None:
        self._sender = sender
        self._headers = (("content-type", "application/json"), *headers)
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._base = settings.upstream.rstrip("/")
        self._trouble: str | None = None
        self._told_at: dict[str, float] = {}

    async def ask(self, question: Question, *, stop: asyncio.Event, trail: Trail) -> Result | None:
        """Return how the request ended; None if `stop` was set before it had, while nothing was in flight."""
        request = Request(
            method="POST",
            url=self._base + question.endpoint.removeprefix("/v1"),
            headers=self._headers,
            body=bytes(question.request.body),
            timeout_s=self._settings.request_timeout_s,
            body_bytes_max=self._settings.response_bytes_max,
        )
        attempts = waits = 0
        while not stop.is_set() and await trail.may_send():
            try:
                answer: Response | TransportError = await self._sender.send(request, ())
            except TransportError as error:
                answer = error
            if isinstance(answer, Response) and answer.ok and (outcome := _answered(question, answer)):
                self._note(None)
                return outcome
            fault = fault_of(answer)
            if fault is Fault.UPSTREAM:
                self._note(_reason(answer))
            attempts += fault is Fault.ATTEMPT
            if fault is Fault.REQUEST or attempts >= self._settings.attempts_max:
                return _failed(question, answer)
            trail.returned()
            await self._wait(answer, waits, stop=stop)
            waits += 1
        return None

    def _note(self, trouble: str | None) -> None:
        """Tell whoever runs the server, once, why its requests wait; rate limits are daily life, and not told."""
        if trouble in (self._trouble, f"it answers {_TOO_MANY}"):
            return
        now = self._clock.monotonic()
        if trouble is not None and now < self._told_at.get(trouble, -math.inf) + TELL_EVERY_S:
            return
        self._trouble = trouble
        if trouble is None:
            log.info("The upstream %s answers again.", self._base)
        else:
            self._told_at[trouble] = now
            problem = as_sentence(trouble)
            log.warning("The upstream %s has a problem: %s Requests wait until it is solved.", self._base, problem)

    async def _wait(self, answer: Response | TransportError, waits: int, *, stop: asyncio.Event) -> None:
        """Wait as long as the upstream asks, else longer each time; less if the batch stops."""
        settings = self._settings
        asked = retry_after_s(answer.headers, now=self._clock.now()) if isinstance(answer, Response) else None
        ceiling = min(settings.retry_delay_first_s * 2 ** min(waits, 16), settings.retry_delay_max_s)
        delay = ceiling * self._rng.uniform(0.5, 1.0) if asked is None else min(asked, settings.retry_delay_max_s)
        log.debug("The upstream %s: %s; asking again in %.1f s.", self._base, _reason(answer), delay)
        stopped = asyncio.ensure_future(stop.wait())
        slept = asyncio.ensure_future(self._clock.sleep(delay))
        try:
            await asyncio.wait((stopped, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            slept.cancel()


def _reason(answer: Response | TransportError) -> str:
    return f"it answers {answer.status}" if isinstance(answer, Response) else str(answer)


def _answered(question: Question, answer: Response) -> Result | None:
    """Return the outcome of a good answer; None if its body is broken."""
    try:
        body = answer.body.removeprefix(BOM)  # It may begin a file, and must not stand within a line of one.
        usage = read_answer(body)
    except ValueError:
        return None
    return Result(Kind.ANSWERED, _http_line(question, answer, body=body), usage)


def _failed(question: Question, answer: Response | TransportError) -> Result:
    if isinstance(answer, Response) and not answer.ok:
        return Result(Kind.FAILED, _http_line(question, answer, body=as_json(answer.body.removeprefix(BOM))))
    if isinstance(answer, Response):
        code, message = "server_error", f"The upstream answered {answer.status} with a body that is not JSON."
    else:
        code = "request_timeout" if isinstance(answer, AnswerTimeoutError) else "server_error"
        message = str(answer)
    custom_id = question.request.custom_id
    data = error_line(batch_id=question.batch_id, line=question.line, custom_id=custom_id, code=code, message=message)
    return Result(Kind.FAILED, data)


def _http_line(question: Question, answer: Response, *, body: bytes) -> bytes:
    return http_line(
        batch_id=question.batch_id,
        line=question.line,
        custom_id=question.request.custom_id,
        status=answer.status,
        request_id=answer.headers.get("x-request-id"),
        body=body,
    )
