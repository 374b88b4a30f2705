"""What OpenRouter is told: every parameter, and that none may be dropped."""

import pytest

from tests.providers.bodies import said, told
from tidyllm.core.reply import Opaque, Reply

ALL = {"provider": {"require_parameters": True}}


def test_parameters_may_not_be_dropped_unless_the_user_says_so() -> None:
    assert said("openrouter") == ALL
    order = {"provider": {"order": ["OpenAI"]}}
    assert said("openrouter", extra=order) == {"provider": {"require_parameters": True, "order": ["OpenAI"]}}
    assert said("openrouter", extra={"provider": {"require_parameters": False}}) == {
        "provider": {"require_parameters": False}
    }


def test_every_parameter_has_its_field() -> None:
    options = {"max_tokens": 5, "seed": 7, "stop": ["a"], "top_k": 20, "logprobs": 2, "frequency_penalty": 1}
    assert said("openrouter", **options) == ALL | {
        "max_tokens": 5,
        "seed": 7,
        "stop": ("a",),
        "top_k": 20,
        "logprobs": True,
        "top_logprobs": 2,
        "frequency_penalty": 1.0,
    }


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_every_effort_has_its_word(effort: str) -> None:
    assert said("openrouter", effort=effort) == ALL | {"reasoning": {"effort": effort}}


def test_thoughts_are_told_unless_they_are_not_wanted() -> None:
    assert said("openrouter", thoughts=True) == ALL
    assert said("openrouter", effort="high", thoughts=False) == ALL | {"reasoning": {"effort": "high", "exclude": True}}


def test_its_thoughts_are_given_back_as_they_came() -> None:
    details = [{"type": "reasoning.encrypted", "data": "ZW5j", "id": None, "index": 0, "of": "tomorrow"}]
    reply = Reply(text="Hello.", thoughts="Hm.", opaque=Opaque("chat_completions", details))
    assert told("openrouter", reply) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello.", "reasoning_details": details},
        {"role": "user", "content": "And?"},
    ]
