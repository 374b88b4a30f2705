"""What answers cost."""

import subprocess
import sys

import msgspec
import pytest

from tidyllm import LLMMessage
from tidyllm.client.prices import priced
from tidyllm.core.message import AssistantTurn
from tidyllm.core.reply import Reply


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
