"""The Batch API's objects on the wire; unknown fields pass, and an id that is null or empty means there is none."""

import msgspec

from tidyllm.core.batch import Batch, BatchStatus, BatchUsage, Problem, RequestCounts
from tidyllm.dialects.usage import Count, read_usage

_SUCCESS = range(200, 300)


class Counts(msgspec.Struct, frozen=True):
    """The `request_counts` of a batch; null on some servers until the batch runs."""

    total: int | None = None
    completed: int | None = None
    failed: int | None = None


class InputDetails(msgspec.Struct, frozen=True):
    """What the input tokens were."""

    cached_tokens: Count | None = None


class OutputDetails(msgspec.Struct, frozen=True):
    """What the output tokens were."""

    reasoning_tokens: Count | None = None


class Usage(msgspec.Struct, frozen=True):
    """The `usage` of a batch; absent from batches made before September 2025."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None

    def read(self) -> BatchUsage:
        """Return it in our words."""
        cached = self.input_tokens_details.cached_tokens if self.input_tokens_details else None
        reasoning = self.output_tokens_details.reasoning_tokens if self.output_tokens_details else None
        return BatchUsage(
            input_tokens=self.input_tokens or 0,
            cached_tokens=cached or 0,
            output_tokens=self.output_tokens or 0,
            reasoning_tokens=reasoning or 0,
        )


class ProblemObject(msgspec.Struct, frozen=True):
    """One of a batch's `errors`."""

    code: str | None = None
    message: str | None = None
    param: str | None = None
    line: int | None = None

    def read(self) -> Problem:
        """Return it in our words."""
        return Problem(code=self.code or "", message=self.message or "", param=self.param or None, line=self.line)


class ProblemList(msgspec.Struct, frozen=True):
    """A batch's `errors`; null `data` has been seen."""

    data: list[ProblemObject] | None = None


class BatchObject(msgspec.Struct, frozen=True, kw_only=True):
    """A batch; spec/openai-batch 4.2."""

    id: str
    status: str
    created_at: int
    expires_at: int | None = None
    endpoint: str | None = None
    model: str | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: Counts | None = None
    usage: object = None
    errors: ProblemList | None = None
    metadata: dict[str, str] | None = None

    def read(self) -> Batch:
        """Return it in our words."""
        counts = self.request_counts or Counts()
        problems = (self.errors.data or []) if self.errors else []
        known = self.status in _STATUS_WORDS
        return Batch(
            id=self.id,
            status=BatchStatus(self.status) if known else BatchStatus.IN_PROGRESS,
            status_word=None if known else self.status,
            counts=RequestCounts(total=counts.total or 0, completed=counts.completed or 0, failed=counts.failed or 0),
            created_at=self.created_at,
            expires_at=self.expires_at,
            endpoint=self.endpoint or None,
            model=self.model or None,
            input_file_id=self.input_file_id or None,
            output_file_id=self.output_file_id or None,
            error_file_id=self.error_file_id or None,
            in_progress_at=self.in_progress_at,
            finalizing_at=self.finalizing_at,
            completed_at=self.completed_at,
            failed_at=self.failed_at,
            expired_at=self.expired_at,
            cancelling_at=self.cancelling_at,
            cancelled_at=self.cancelled_at,
            usage=read_usage(self.usage, Usage).read() if self.usage else None,
            problems=tuple(problem.read() for problem in problems),
            metadata=self.metadata or {},
        )


_STATUS_WORDS = frozenset(status.value for status in BatchStatus)


class BatchList(msgspec.Struct, frozen=True):
    """One page of batches; some servers leave `has_more` out, for they have no second page."""

    data: list[BatchObject]
    has_more: bool | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a request of a batch failed; `code` is a number on some servers that speak the dialect."""

    message: str | None = None
    code: str | int | None = None


class ResultResponse(msgspec.Struct, frozen=True):
    """The HTTP answer inside a result line; a status of 0 stands for an answer that was never kept."""

    status_code: int | None = None
    request_id: str | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.status_code in _SUCCESS


class NamedLine(msgspec.Struct, frozen=True):
    """As much of a result line as says which request it answers."""

    custom_id: str


class ResultLine(msgspec.Struct, frozen=True):
    """One line of an output or error file; spec/openai-batch 6."""

    custom_id: str
    response: ResultResponse | None = None
    error: ErrorBody | str | None = None
