"""What answers cost."""

import subprocess
import sys
from datetime import UTC, datetime

import msgspec
import pytest
from genai_prices import Usage, calc_price

from tidyllm import LLMMessage
from tidyllm.client.prices import priced, prices_of
from tidyllm.core.message import AssistantTurn
from tidyllm.core.reply import Reply
from tidyllm.provider import find_provider


def asked(provider: str | None = "openai", model: str | None = "gpt-4o-2024-11-20", **counts: int | None) -> Reply:
    told = {"text": "Hi", "provider": provider, "model": model, "tokens_in": 1000, "tokens_out": 100}
    return msgspec.convert(told | counts, Reply)


def test_a_listed_model_has_its_price() -> None:
    assert priced(asked()).cost == pytest.approx(1000 * 2.5e-6 + 100 * 10e-6)
    assert priced(asked("claude", "claude-sonnet-4-5-20250929")).cost == pytest.approx(1000 * 3e-6 + 100 * 15e-6)
    assert priced(asked("azure_openai")).cost == priced(asked()).cost


def test_cached_tokens_count_at_their_price() -> None:
    assert priced(asked(tokens_cached=800)).cost == pytest.approx(200 * 2.5e-6 + 800 * 1.25e-6 + 100 * 10e-6)


def test_only_the_cost_is_filled_in() -> None:
    reply = asked()
    filled = priced(reply)
    assert filled.text == reply.text
    assert filled.body == reply.body
    assert reply.cost is None


def test_the_model_that_was_asked_for_counts_where_no_other_is_told() -> None:
    assert priced(Reply(provider="openai", asked="gpt-4o", tokens_in=1, tokens_out=1)).cost is not None


def test_what_the_provider_told_stays() -> None:
    told = Reply(provider="openai", model="gpt-4o", tokens_in=1, tokens_out=1, cost=0.0)
    assert priced(told) is told


@pytest.mark.parametrize(
    "reply",
    [
        asked("local", "gpt-4o"),
        asked("ollama", "gpt-4o"),
        asked(None),
        asked(model=None),
        asked(model="gpt-99-unheard-of"),
        asked(tokens_in=None),
        asked(tokens_out=None),
        asked(tokens_cached=2000),
        asked(tokens_in=0, tokens_out=0),
        asked("gemini", "gemma-3-27b-it"),
        asked("gemini", "gemini-2.5-pro-of-tomorrow"),
        asked("claude", "claude-sonnet-4-5-mini"),
        asked("claude", "claude-sonnet-4-57"),
    ],
)
def test_without_a_certain_price_there_is_none_and_never_nought(reply: Reply) -> None:
    assert priced(reply) is reply
    assert reply.cost is None


def listed(reply: Reply, *, seller: str, at: datetime) -> float:
    """Return the cost as the library itself has it."""
    usage = Usage(input_tokens=reply.tokens_in, cache_read_tokens=reply.tokens_cached, output_tokens=reply.tokens_out)
    found = calc_price(usage, str(reply.model), provider_id=seller, genai_request_timestamp=at)
    return float(found.total_price)


@pytest.mark.parametrize("tokens_in", [1, 127_999, 128_000, 128_001, 200_000, 200_001, 272_000, 272_001, 1_000_000])
@pytest.mark.parametrize("cached", [None, 0, 1, 0.5, 1.0])
@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("gemini", "gemini-2.5-pro"),
        ("claude", "claude-sonnet-4-5"),
        ("openai", "gpt-4o"),
        ("openrouter", "openai/gpt-4o"),
    ],
)
def test_what_is_kept_of_the_prices_gives_what_the_library_does(
    provider: str, model: str, tokens_in: int, cached: float | None
) -> None:
    tokens_cached = int(cached * tokens_in) if isinstance(cached, float) else cached
    reply = asked(provider, model, tokens_in=tokens_in, tokens_cached=tokens_cached, tokens_out=77)
    seller = str(find_provider(provider).price_list)
    assert priced(reply).cost == listed(reply, seller=seller, at=datetime.now(UTC))


def test_prices_that_change_with_the_time_are_those_of_each_minute() -> None:
    told = set()
    for hour in range(24):
        for minute in (29, 30, 31):
            at = datetime(2025, 7, 1, hour, minute, tzinfo=UTC)
            prices = prices_of("deepseek", "deepseek-chat", minute=int(at.timestamp()) // 60)
            assert prices is not None
            reply = asked("deepseek", "deepseek-chat", tokens_cached=10)
            cost = float(prices.cost(tokens_in=1000, tokens_cached=10, tokens_out=100))
            assert cost == listed(reply, seller="deepseek", at=at)
            told.add(cost)
    assert len(told) > 1


def test_no_more_prices_are_kept_than_a_bound() -> None:
    for number in range(1_100):
        prices_of("openai", f"gpt-unheard-of-{number}", minute=0)
    assert prices_of.cache_info().currsize <= 1_024


def test_metadata_tells_what_answers_cost() -> None:
    talk = LLMMessage(turns=tuple(map(AssistantTurn, (asked(), asked("local")))))
    assert talk.metadata()["cost"].to_list() == [pytest.approx(0.0035), None]


def test_nothing_of_the_price_lists_is_loaded_before_a_price_is_asked_for() -> None:
    code = (
        "import sys; from tidyllm.client.prices import priced; from tidyllm.core.reply import Reply; "
        "priced(Reply(provider='local', model='m', tokens_in=1, tokens_out=1)); "
        "print(sorted({'genai_prices', 'pydantic', 'httpx2', 'asyncio'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
