"""What a user may ask of a model's answer: one vocabulary for every provider."""

import msgspec


class Params(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a model is to answer; null means that the request does not speak of it."""

    temperature: float | None = None
    """0 for the likeliest words; the upper bound is the provider's."""
    max_tokens: int | None = None
    """Longest answer, in tokens, reasoning included."""
    top_p: float | None = None
    """Only the likeliest tokens that together have this probability."""
    seed: int | None = None
    """For answers that repeat, as far as the provider can."""
    stop: tuple[str, ...] | None = None
    """Texts at which the answer ends."""
    extra: dict[str, object] = {}
    """The provider's own fields, passed through as they are."""
