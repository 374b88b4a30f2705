"""What a model answered, and how one request of a batch ended."""

from enum import Enum

import msgspec


class Outcome(str, Enum):
    """How one row ended, or that it has not; the words of the column `llm_status`."""

    OK = "ok"
    REFUSED = "refused"
    """The model declined, or a filter stopped it."""
    TRUNCATED = "truncated"
    """The answer was cut off at the longest length allowed."""
    INVALID = "invalid"
    """An answer came, but it is not what was asked for."""
    FAILED = "failed"
    EXPIRED = "expired"
    """Not run before the batch's time was up."""
    CANCELLED = "cancelled"
    PENDING = "pending"
    """Nothing is known of it so far, but may be later."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a model."""

    text: str | None = None
    refusal: str | None = None
    """Why the model declined, in its words."""
    finish: str | None = None
    """Why it stopped: `stop`, `length`, `content_filter`, `tool_calls`, or a word of the provider's own."""
    model: str | None = None
    """The model that answered, which need not be spelled as it was asked for."""
    tokens_in: int | None = None
    """Tokens of the prompt, cached ones included."""
    tokens_out: int | None = None
    """Tokens of the answer, reasoning included."""
    id: str | None = None
    """The provider's name for this answer."""

    @property
    def outcome(self) -> Outcome:
        """How the row that asked ended."""
        if self.refusal is not None or self.finish == "content_filter":
            return Outcome.REFUSED
        if self.finish == "length":
            return Outcome.TRUNCATED
        return Outcome.INVALID if self.text is None else Outcome.OK


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How one request of a batch ended."""

    custom_id: str
    outcome: Outcome
    reply: Reply | None = None
    error: str | None = None
    """What went wrong, for a person."""
    request_id: str | None = None
    """What to name when asking the provider about it."""
