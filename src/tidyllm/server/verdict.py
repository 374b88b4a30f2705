"""What becomes of a request, by what came of asking it: its result, or that it is asked again, and whose fault that is.

* answered       200-299 with a JSON body: a line of the output file.
* the line's     400 and its like, and answers that are too large, at once; 408, other 5xx, broken bodies and time-outs
                 after `attempts_max` sends: a line of the error file, with the upstream's own words where it said any.
* the upstream's refused connections, 401, 429, 503, 529, and whatever fails while it is not well: nobody's attempt is
                 used up; the request waits until it is answered, or its batch stops.
"""

from enum import Enum

import msgspec

from tidyllm.core.batch import BatchUsage
from tidyllm.core.errors import AnswerTimeoutError, BodyTooLargeError, ConnectError, TransportError
from tidyllm.core.jsonl import BOM
from tidyllm.core.wire import Response
from tidyllm.journal import Kind
from tidyllm.server.lines import RequestLine, as_json, error_line, http_line, read_answer
from tidyllm.transport.pace import OVERLOADED


class Result(msgspec.Struct, frozen=True):
    """How a request ended, as it will stand in the journal."""

    kind: Kind
    data: bytes
    """The finished result line."""
    usage: BatchUsage = BatchUsage()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a batch, on its way to an upstream."""

    batch_id: str
    line: int
    endpoint: str
    model: str
    request: RequestLine


class Fault(Enum):
    """Whose fault a failure is."""

    REFUSED = "refused"
    """The upstream takes no more just now."""
    UNREACHABLE = "unreachable"
    """Nobody is there."""
    KEY = "key"
    """The key is wrong."""
    UNKNOWN = "unknown"
    """It has no such model or endpoint, or the key may not use it: the upstream's fault where that is so for all."""
    ATTEMPT = "attempt"
    """Ask again while attempts are left."""
    REQUEST = "request"
    """This request will never be accepted."""


_KEY = 401
_UNKNOWN = frozenset({403, 404, 405})
_MOVED = range(300, 400)
_TIMED_OUT = 408
_SERVER_FAULT = 500


def fault_of(failure: Response | TransportError) -> Fault:
    """Say whose fault an answer without a result, or no answer at all, is."""
    if isinstance(failure, TransportError):
        if isinstance(failure, BodyTooLargeError):
            return Fault.REQUEST
        return Fault.UNREACHABLE if isinstance(failure, ConnectError) else Fault.ATTEMPT
    if failure.status in OVERLOADED:
        return Fault.REFUSED
    if failure.status == _KEY:
        return Fault.KEY
    if failure.status in _UNKNOWN or failure.status in _MOVED:
        return Fault.UNKNOWN
    passing = failure.ok or failure.status == _TIMED_OUT or failure.status >= _SERVER_FAULT
    return Fault.ATTEMPT if passing else Fault.REQUEST


def reason(failure: Response | TransportError) -> str:
    """Return what a failure is, for whoever runs the server."""
    if isinstance(failure, TransportError):
        return str(failure)
    return f"it answers {failure.status}{' with a body that is not JSON' if failure.ok else ''}"


def answered(question: Question, answer: Response | TransportError) -> Result | None:
    """Return the result of a good answer; None if it is none, or its body is broken."""
    if not isinstance(answer, Response) or not answer.ok:
        return None
    try:
        body = answer.body.removeprefix(BOM)  # It may begin a file, and must not stand within a line of one.
        usage = read_answer(body)
    except ValueError:
        return None
    return Result(Kind.ANSWERED, _http_line(question, answer, body=body), usage)


def failed(question: Question, answer: Response | TransportError) -> Result:
    """Return the result of a request that is given up."""
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
