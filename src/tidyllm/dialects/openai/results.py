"""The lines of a batch's result files, which others have as well; spec/openai-batch 6."""

import msgspec

from tidyllm.core.problem import UNREADABLE, Problem, problem_in_success
from tidyllm.core.reply import Outcome
from tidyllm.dialect import ResultItem
from tidyllm.dialects.results import failed, problem_of, succeeded, unreadable

_SUCCESS = range(200, 300)
_NULL = msgspec.Raw(b"null")
_ENDED_SO = {"batch_expired": Outcome.EXPIRED, "batch_cancelled": Outcome.CANCELLED}
"""Codes of requests that were never run; every other one is a failure; spec/openai-batch 6.2."""


def read_result(data: bytes) -> ResultItem:
    """Return how the request of one result ended: `{custom_id, response: {status_code, request_id, body}, error}`.

    Raises BadAnswerError for one that does not even say which request it answers.
    """
    try:
        said = msgspec.json.decode(data, type=_Result)
    except UNREADABLE as fault:
        return unreadable(data, fault)
    response = said.response or _Response()
    problem: Problem | None
    if response.status in _SUCCESS:
        problem = problem_in_success(bytes(response.body))
        if problem is None:
            return succeeded(said.custom_id, response.body, request_id=response.request_id)
    else:
        told = map(problem_of, (said.error, response.body, response.message))
        problem = next((one for one in told if one != Problem()), Problem())
    return failed(said.custom_id, problem, kind=response.status, request_id=response.request_id, outcomes=_ENDED_SO)


class _Response(msgspec.Struct, frozen=True):
    """The HTTP answer inside a result; a status of 0 stands for an answer that was never kept."""

    status_code: object = None
    request_id: object = None
    body: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    """Why it failed, where there is no body; spec/voyage 7."""

    @property
    def status(self) -> object:
        """Return the status; on some servers that speak the dialect it is a number in quotes."""
        said = self.status_code
        return int(said) if isinstance(said, str) and said.isdecimal() else said


class _Result(msgspec.Struct, frozen=True):
    custom_id: str
    response: _Response | None = None
    error: msgspec.Raw = _NULL
