"""What DeepSeek is told, and what it would pass over without a word."""

import pytest

from tests.providers.bodies import said
from tidyllm.core.errors import SettingError

STEERS = {"temperature": 0.5, "frequency_penalty": 1.0, "presence_penalty": 1.0, "logprobs": 2}


@pytest.mark.parametrize(
    ("effort", "fields"),
    [
        ("none", {"thinking": {"type": "disabled"}}),
        ("low", {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ("high", {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ("max", {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
    ],
)
def test_its_own_words_for_effort_are_said(effort: str, fields: dict[str, object]) -> None:
    assert said("deepseek", effort=effort) == fields


@pytest.mark.parametrize("effort", ["minimal", "medium", "xhigh"])
def test_an_effort_that_it_would_take_for_another_is_refused(effort: str) -> None:
    with pytest.raises(SettingError, match=r"'none', 'low', 'high', 'max'\. Nearest to minimal is low"):
        said("deepseek", effort=effort)


def test_thoughts_can_be_left_out_by_not_thinking_alone() -> None:
    with pytest.raises(SettingError, match=r'thoughts=False\. .* effort="none"'):
        said("deepseek", thoughts=False)


@pytest.mark.parametrize("option", STEERS)
@pytest.mark.parametrize("effort", [None, "low", "max"])
def test_what_has_no_effect_on_a_model_that_thinks_is_refused(option: str, effort: str | None) -> None:
    with pytest.raises(SettingError, match='effort="none"'):
        said("deepseek", effort=effort, **{option: STEERS[option]})


def test_what_steers_the_choice_of_words_works_without_thoughts() -> None:
    assert said("deepseek", effort="none", top_p=0.5, **STEERS) == {
        "thinking": {"type": "disabled"},
        "temperature": 0.5,
        "frequency_penalty": 1.0,
        "presence_penalty": 1.0,
        "top_p": 0.5,
        "logprobs": True,
        "top_logprobs": 2,
    }


def test_top_p_of_a_model_that_thinks_is_near_1() -> None:
    assert said("deepseek", top_p=0.95, max_tokens=9, thoughts=True) == {"top_p": 0.95, "max_tokens": 9}
    with pytest.raises(SettingError, match=r"from 0\.95"):
        said("deepseek", top_p=0.9)


@pytest.mark.parametrize("effort", [None, "none"])
def test_a_seed_is_refused(effort: str | None) -> None:
    with pytest.raises(SettingError, match="temperature=0"):
        said("deepseek", effort=effort, seed=1)


def test_at_most_sixteen_texts_end_an_answer() -> None:
    assert said("deepseek", stop=["a"] * 16)
    with pytest.raises(SettingError, match="at most 16"):
        said("deepseek", stop=["a"] * 17)
