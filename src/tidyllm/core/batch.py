"""A batch: its states, counts, times and problems, in OpenAI's words, which are everybody's here."""

from enum import Enum

import msgspec


class BatchStatus(str, Enum):
    """Where a batch stands; spec/openai-batch 4.3."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the batch will never change again."""
        return self in _ENDED


_ENDED = frozenset({BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED})


class RequestCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests a batch has, and how many have ended how; never-run ones are in neither."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens a batch has used; input includes cached, output includes reasoning."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class UsageSum:
    """The tokens of many answers, added up as they come."""

    def __init__(self) -> None:
        self._input = self._cached = self._output = self._reasoning = 0

    def add(self, usage: BatchUsage) -> None:
        """Take in those of one answer."""
        self._input += usage.input_tokens
        self._cached += usage.cached_tokens
        self._output += usage.output_tokens
        self._reasoning += usage.reasoning_tokens

    def total(self) -> BatchUsage:
        """Return what has been added up so far."""
        return BatchUsage(
            input_tokens=self._input,
            cached_tokens=self._cached,
            output_tokens=self._output,
            reasoning_tokens=self._reasoning,
        )


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a batch was refused as a whole, or one line of it; spec/openai-batch 5.3."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None
    """1-based line of the input file; null where the whole file is meant."""

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}: "
        code = f" ({self.code})" if self.code else ""
        return f"{place}{self.message}{code}"


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One batch as its provider reports it."""

    id: str
    status: BatchStatus
    status_word: str | None = None
    """The provider's own word where it is none of ours; `status` then reads in_progress, for nothing has ended yet."""
    counts: RequestCounts
    created_at: int
    """Seconds since 1970 UTC, like every time here."""
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
    usage: BatchUsage | None = None
    """Null where the provider reports none."""
    problems: tuple[Problem, ...] = ()
    metadata: dict[str, str] = {}
    name: str | None = None
    """What it was called when it was made, where the provider lets call it."""
