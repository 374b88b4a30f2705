"""What a user may ask of a model's answer: one vocabulary for every provider."""

from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""How much a model may think before it answers."""


class Params(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """How a model is to answer; null means that the request does not speak of it."""

    temperature: float | None = None
    """0 for the likeliest words; the upper bound is the provider's."""
    max_tokens: int | None = None
    """Longest answer, in tokens, reasoning included."""
    top_p: float | None = None
    """Only the likeliest tokens that together have this probability."""
    top_k: int | None = None
    """Only so many of the likeliest tokens."""
    seed: int | None = None
    """For answers that repeat, as far as the provider can."""
    stop: tuple[str, ...] | None = None
    """Texts at which the answer ends."""
    frequency_penalty: float | None = None
    """Above 0 against words that were said often already."""
    presence_penalty: float | None = None
    """Above 0 against words that were said at all."""
    thoughts: bool | None = None
    """Whether the answer tells of the model's reasoning."""
    effort: Effort | None = None
    """How much the model thinks before it answers."""
    logprobs: int | None = None
    """Tell of each token how likely it was, and so many alternatives; 0 for none."""
    dimensions: int | None = None
    """Length of the vectors, where the model lets choose; for embeddings alone."""
    model_family: str | None = None
    """A model whose rules hold, where the name, as of a deployment, does not tell what it is."""
    extra: dict[str, object] = {}
    """The provider's own fields, passed through as they are."""

    @cached_property
    def given(self) -> tuple[tuple[str, object], ...]:
        """Return the names and values of those that a request is to speak of in the provider's words."""
        told = msgspec.structs.asdict(self).items()
        return tuple((name, value) for name, value in told if value is not None and name not in _NOT_WORDS)


_NOT_WORDS = ("extra", "model_family")
