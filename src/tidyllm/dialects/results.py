"""Results of batches as every provider has them: an answer as the live API gives it, or in its place a problem."""

from collections.abc import Mapping

import msgspec

from tidyllm.core.errors import BadAnswerError
from tidyllm.core.problem import UNREADABLE, Problem, read_problem
from tidyllm.core.reply import Outcome
from tidyllm.dialect import ResultItem


class Named(msgspec.Struct, frozen=True):
    """As much of a result as says which request it answers."""

    custom_id: str


def succeeded(custom_id: str, body: msgspec.Raw, *, request_id: object = None) -> ResultItem:
    """Return the result of a request that its provider calls a success; its answer need not be one."""
    answer = bytes(body).strip()
    if answer.startswith(b"{"):
        return ResultItem(custom_id=custom_id, body=answer, request_id=_word(request_id))
    return ResultItem(
        custom_id=custom_id,
        outcome=Outcome.INVALID,
        error="It is said to have succeeded, but there is no answer.",
        request_id=_word(request_id),
    )


def failed(
    custom_id: str,
    problem: Problem,
    *,
    kind: object = None,
    request_id: object = None,
    outcomes: Mapping[str, Outcome] | None = None,
) -> ResultItem:
    """Return the result of a request that failed; `kind`, a status or a word, is said before the message.

    `outcomes` has the codes of those that ended otherwise, as of requests that were never run.
    """
    message = problem.message or problem.code or "The provider kept neither an answer nor an error."
    return ResultItem(
        custom_id=custom_id,
        # Some tell the code alone, as a text.
        outcome=(outcomes or {}).get(problem.code or message, Outcome.FAILED),
        error=message if kind is None else f"{kind}: {message}",
        request_id=_word(request_id) or problem.request_id,
    )


def problem_of(said: msgspec.Raw) -> Problem:
    """Return what an error says: an object, what a live API answers, a text, or a bare code; never raises."""
    try:
        value = msgspec.json.decode(said)
    except UNREADABLE:
        return read_problem(bytes(said))
    if isinstance(value, str):
        return Problem(message=value or None)
    if isinstance(value, int | float):
        return Problem(code=str(value))
    return read_problem(bytes(said))


def unreadable(data: bytes, fault: Exception, *, custom_id: str | None = None) -> ResultItem:
    """Return the result that is none. Raises BadAnswerError where it does not even say which request it answers."""
    error = f"This is no result of a batch: {fault}"
    if custom_id is None:
        try:
            custom_id = msgspec.json.decode(data, type=Named).custom_id
        except UNREADABLE:
            raise BadAnswerError(error, body=data) from fault
    return ResultItem(custom_id=custom_id, outcome=Outcome.INVALID, error=error)


def _word(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None
