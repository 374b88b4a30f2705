"""What headers say of limits."""

import pytest

from tidyllm.core.rate_limit import RateLimit, read_rate_limit

NOW = 1_795_000_000.0


def test_openai_and_groq_tell_how_long_until_all_is_there_again() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert read_rate_limit(headers, now=NOW) == RateLimit(
        requests_limit=60,
        requests_remaining=59,
        requests_reset_s=1.0,
        tokens_limit=150_000,
        tokens_remaining=149_984,
        tokens_reset_s=360.0,
    )


def test_anthropic_tells_when_all_is_there_again() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-11-18T11:06:50Z",
    }
    told = read_rate_limit(headers, now=NOW)
    assert told == RateLimit(requests_limit=50, requests_remaining=0, requests_reset_s=10.0)


def test_anthropic_may_tell_of_tokens_by_their_kind() -> None:
    headers = {"anthropic-ratelimit-input-tokens-limit": "9", "anthropic-ratelimit-output-tokens-remaining": "0"}
    assert read_rate_limit(headers, now=NOW) == RateLimit(tokens_limit=9, tokens_remaining=0)


def test_mistral_counts_by_the_minute() -> None:
    headers = {"x-ratelimit-limit-req-minute": "360", "x-ratelimit-remaining-tokens-minute": "7"}
    assert read_rate_limit(headers, now=NOW) == RateLimit(requests_limit=360, tokens_remaining=7)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120ms", 0.12),
        ("1h2m3.5s", 3_723.5),
        ("7.66s", 7.66),
        ("1d", 86_400.0),
        ("30", 30.0),
        (str(NOW + 5), 5.0),
        (str((NOW + 5) * 1_000), 5.0),
        ("2026-11-18T11:06:45", 5.0),
        ("2026-11-18T11:06:35Z", 0.0),
        ("2026-11-18T99", None),
        ("inf", None),
        ("nan", None),
        ("1e9999", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_reset_is_read_in_every_form(value: str, seconds: float | None) -> None:
    told = read_rate_limit({"x-ratelimit-limit": "1", "x-ratelimit-reset": value}, now=NOW)
    assert told is not None
    assert told.requests_reset_s == (None if seconds is None else pytest.approx(seconds))


def test_headers_that_tell_nothing_are_nothing() -> None:
    assert (
        read_rate_limit(
            {"x-ratelimit-limit-requests": "9" * 400, "x-ratelimit-limit-tokens": "many", "date": "today"}, now=NOW
        )
        is None
    )
