"""What a model answered, and how one request of a batch ended."""

from enum import Enum

import msgspec


class Outcome(str, Enum):
    """How one row ended, or that it has not; the words of the column `llm_status`."""

    OK = "ok"
    REFUSED = "refused"
    """The model declined, or a filter stopped it."""
    TRUNCATED = "truncated"
    """The answer was cut off: at the longest length allowed, or by a server that gave up."""
    INVALID = "invalid"
    """An answer came, but it is not what was asked for."""
    FAILED = "failed"
    EXPIRED = "expired"
    """Not run before the batch's time was up."""
    CANCELLED = "cancelled"
    PENDING = "pending"
    """Nothing is known of it so far, but may be later."""


class Citation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A source that an answer names."""

    url: str | None = None
    title: str | None = None
    quote: str | None = None
    """What the source says, in its words."""
    start: int | None = None
    """Where in the answer's text the cited passage begins, in characters from 0."""
    end: int | None = None
    """Where it ends; the character there is no part of it."""


class Likely(msgspec.Struct, frozen=True):
    """A token, and how likely it was."""

    token: str
    logprob: float
    """Natural logarithm of its probability."""


class TokenLikelihood(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token of an answer, how likely it was, and what else it could have been."""

    token: str
    logprob: float
    """Natural logarithm of its probability."""
    alternatives: tuple[Likely, ...] = ()
    """The likeliest tokens in its place, itself among them."""


class Opaque(msgspec.Struct, frozen=True):
    """Data of a provider's own that mean something to it alone: signed or encrypted thoughts.

    They are kept, and given back with the conversation to the model that they came from and to no other.
    """

    api: str
    """The `api` of the dialect that reads them."""
    data: object
    """As JSON has it."""


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer of a model; null is what was not told."""

    text: str | None = None
    refusal: str | None = None
    """Why the model declined, in its words."""
    thoughts: str | None = None
    """What the model told of its reasoning."""
    citations: tuple[Citation, ...] = ()
    finish: str | None = None
    """Why it stopped: `stop`, `length`, `content_filter`, `tool_calls`, or a word of the provider's own."""
    model: str | None = None
    """The model that answered, which need not be spelled as it was asked for."""
    tokens_in: int | None = None
    """Tokens of the prompt, cached ones included."""
    tokens_out: int | None = None
    """Tokens of the answer, reasoning included."""
    tokens_cached: int | None = None
    """Those of `tokens_in` that the provider had kept from an earlier request."""
    tokens_reasoning: int | None = None
    """Those of `tokens_out` that were spent on reasoning."""
    cost: float | None = None
    """In US dollars; null where the price is not known."""
    logprobs: tuple[TokenLikelihood, ...] = ()
    """How likely each token was, where that was asked for."""
    id: str | None = None
    """The provider's name for this answer."""
    request_id: str | None = None
    """What to name when asking the provider about it."""
    provider: str | None = None
    """The name of the provider that was asked."""
    asked: str | None = None
    """The model, spelled as it was asked for."""
    seconds: float | None = None
    """From sending the request to the answer's last byte."""
    attempts: int | None = None
    """How often the request was sent until this answer came."""
    opaque: Opaque | None = None
    """What only this model of this provider can read, to be given back to it."""
    body: bytes = b""
    """The answer as it came, for what is not read out of it; empty in a batch, whose result files keep it."""

    def __repr__(self) -> str:
        told = (f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Reply({', '.join(told)})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        told = msgspec.structs.asdict(self)
        return [(name, value) for name, value in told.items() if name not in _HIDDEN and value not in (None, ())]

    @property
    def outcome(self) -> Outcome:
        """How the row that asked ended."""
        if self.refusal is not None or self.finish == "content_filter":
            return Outcome.REFUSED
        if self.finish in _CUT_OFF:
            return Outcome.TRUNCATED
        return Outcome.INVALID if self.text is None else Outcome.OK


_CUT_OFF = frozenset(
    {"length", "insufficient_system_resource", "abort", "repetition", "pause_turn", "OTHER", "in_progress"}
)
"""Reasons for stopping that leave an answer unfinished; spec/deepseek 4, vllm 2, anthropic 3, gemini 3."""
_HIDDEN = frozenset({"body", "opaque", "logprobs"})
"""What is too long for a person to read."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one request of many ended."""

    custom_id: str
    outcome: Outcome
    reply: Reply | None = None
    error: str | None = None
    """What went wrong, for a person."""
    request_id: str | None = None
    """What to name when asking the provider about it."""
    seconds: float | None = None
    """How long the last attempt took of what failed; an answer's are in `reply`."""
    attempts: int | None = None
    """How often it was sent, likewise."""
    vector: bytes | None = None
    """What was asked for, where that is a vector: 32-bit floats in the machine's order."""
    unread: str | None = None
    """The file in its job's folder that holds what came, where that cannot be read."""

    @property
    def paid(self) -> bool:
        """Whether the provider gave an answer, be it usable or not."""
        return self.reply is not None or self.vector is not None
