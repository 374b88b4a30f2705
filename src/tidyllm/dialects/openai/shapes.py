"""The Batch API's objects on the wire; unknown fields pass, and an id that is null or empty means there is none."""

import msgspec

from tidyllm.core.batch import Batch, BatchUsage, RequestCounts
from tidyllm.dialects.batches import known_status, read_problems
from tidyllm.dialects.times import unix_seconds
from tidyllm.dialects.usage import Count, read_usage


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


class BatchObject(msgspec.Struct, frozen=True, kw_only=True):
    """A batch; spec/openai-batch 4.2."""

    id: str
    status: str
    created_at: object
    expires_at: object = None
    endpoint: str | None = None
    model: str | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: object = None
    finalizing_at: object = None
    completed_at: object = None
    failed_at: object = None
    expired_at: object = None
    cancelling_at: object = None
    cancelled_at: object = None
    request_counts: Counts | None = None
    usage: object = None
    errors: object = None
    metadata: dict[str, object] | None = None

    def read(self) -> Batch:
        """Return it in our words."""
        counts = self.request_counts or Counts()
        # Azure has written capitals; spec/openai-batch 9.1.
        status, word = known_status(self.status.lower())
        return Batch(
            id=self.id,
            status=status,
            status_word=word and self.status,
            counts=RequestCounts(total=counts.total or 0, completed=counts.completed or 0, failed=counts.failed or 0),
            created_at=unix_seconds(self.created_at) or 0,
            expires_at=unix_seconds(self.expires_at),
            endpoint=self.endpoint or None,
            model=self.model or None,
            input_file_id=self.input_file_id or None,
            output_file_id=self.output_file_id or None,
            error_file_id=self.error_file_id or None,
            in_progress_at=unix_seconds(self.in_progress_at),
            finalizing_at=unix_seconds(self.finalizing_at),
            completed_at=unix_seconds(self.completed_at),
            failed_at=unix_seconds(self.failed_at),
            expired_at=unix_seconds(self.expired_at),
            cancelling_at=unix_seconds(self.cancelling_at),
            cancelled_at=unix_seconds(self.cancelled_at),
            usage=read_usage(self.usage, Usage).read() if self.usage else None,
            problems=read_problems(self.errors),
            metadata={name: str(value) for name, value in (self.metadata or {}).items()},
        )


class Paging(msgspec.Struct, frozen=True):
    """Where a list goes on, in a word of the provider's; spec/groq 9."""

    next_cursor: str | None = None


class BatchList(msgspec.Struct, frozen=True):
    """One page of batches; some servers leave `has_more` out, for they have no second page."""

    data: list[BatchObject]
    has_more: bool | None = None
    paging: Paging | None = None

    @property
    def cursor(self) -> str | None:
        """Return what to ask the next page with, where the provider has a word for it."""
        return (self.paging or Paging()).next_cursor or None
