"""What an API's headers say of its limits; spec/openai-chat 2, spec/anthropic 10, spec/mistral 12, spec/groq 11."""

import re
from collections.abc import Iterator, Mapping

import msgspec

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NAMES: Mapping[str, tuple[str, ...]] = {
    "requests_limit": (
        "x-ratelimit-limit-requests",
        "anthropic-ratelimit-requests-limit",
        "x-ratelimit-limit-req-minute",
        "x-ratelimit-limit",
    ),
    "requests_remaining": (
        "x-ratelimit-remaining-requests",
        "anthropic-ratelimit-requests-remaining",
        "x-ratelimit-remaining-req-minute",
        "x-ratelimit-remaining",
    ),
    "tokens_limit": (
        "x-ratelimit-limit-tokens",
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-output-tokens-limit",
        "x-ratelimit-limit-tokens-minute",
    ),
    "tokens_remaining": (
        "x-ratelimit-remaining-tokens",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-output-tokens-remaining",
        "x-ratelimit-remaining-tokens-minute",
    ),
}
_RESETS: Mapping[str, tuple[str, ...]] = {
    "requests_reset_s": (
        "x-ratelimit-reset-requests",
        "anthropic-ratelimit-requests-reset",
        "x-ratelimit-reset",
    ),
    "tokens_reset_s": (
        "x-ratelimit-reset-tokens",
        "anthropic-ratelimit-tokens-reset",
        "anthropic-ratelimit-input-tokens-reset",
        "anthropic-ratelimit-output-tokens-reset",
    ),
}
_MILLISECONDS_FROM = 1e12
"""Larger numbers of a reset count milliseconds since 1970, as OpenRouter's do."""
_DIGITS_MAX = 18
"""Of a count; what is longer is none."""
_RESET_S_MAX = 400 * 86_400.0
"""A reset that is said to be further away is none."""
_SECONDS_FROM = 1e9
"""Larger ones count seconds since 1970; smaller ones count from now."""


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How much an API lets through, and what is left of it; null is what it did not tell."""

    requests_limit: int | None = None
    """In the API's window: a minute, or a day."""
    requests_remaining: int | None = None
    requests_reset_s: float | None = None
    """When all of them are there again, in seconds from the answer on."""
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    tokens_reset_s: float | None = None


def read_rate_limit(headers: Mapping[str, str], *, now: float) -> RateLimit | None:
    """Return what an answer's headers say of limits; none where they say nothing. `now` is in seconds since 1970."""
    if "ratelimit" not in " ".join(headers):
        return None
    counts = {field: _first(_counts(headers, names)) for field, names in _NAMES.items()}
    resets = {field: _first(_resets(headers, names, now=now)) for field, names in _RESETS.items()}
    if not any(value is not None for value in (*counts.values(), *resets.values())):
        return None
    return RateLimit(
        **{field: None if value is None else int(value) for field, value in counts.items()},
        **resets,  # type: ignore[arg-type]
    )


def _first(values: Iterator[float]) -> float | None:
    return next(values, None)


def _counts(headers: Mapping[str, str], names: tuple[str, ...]) -> Iterator[float]:
    for name in names:
        if (value := headers.get(name, "")).isdecimal() and len(value) <= _DIGITS_MAX:
            yield float(value)


def _resets(headers: Mapping[str, str], names: tuple[str, ...], *, now: float) -> Iterator[float]:
    for name in names:
        seconds = _reset_s(headers.get(name, ""), now=now)
        if seconds is not None and seconds <= _RESET_S_MAX:  # What is no number is not.
            yield max(seconds, 0.0)


def _reset_s(value: str, *, now: float) -> float | None:
    """Return a reset in seconds from now: a duration as `6m0s`, a moment as RFC 3339 or since 1970, or seconds."""
    if "T" in value:
        return _moment_s(value, now=now)
    try:
        number = float(value)
    except ValueError:
        pieces = _DURATION.findall(value)
        return sum(float(amount) * _SECONDS[unit] for amount, unit in pieces) if pieces else None
    if number >= _MILLISECONDS_FROM:
        return number / 1000 - now
    return number - now if number >= _SECONDS_FROM else number


def _moment_s(value: str, *, now: float) -> float | None:
    # Imported here: few APIs write moments.
    from datetime import UTC, datetime  # noqa: PLC0415 - for that reason

    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
