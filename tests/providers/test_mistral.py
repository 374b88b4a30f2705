"""What Mistral is told, and what it cannot be: a field that it does not know, it refuses."""

import pytest

from tests.providers.bodies import said
from tidyllm.core.errors import SettingError


def test_its_fields_have_names_of_their_own() -> None:
    options = {"max_tokens": 5, "seed": 7, "stop": ["a"], "top_k": 20, "top_p": 0.5, "temperature": 1.5}
    assert said("mistral", **options) == {
        "max_tokens": 5,
        "random_seed": 7,
        "stop": ("a",),
        "top_k": 20,
        "top_p": 0.5,
        "temperature": 1.5,
    }


def test_its_temperature_ends_at_one_and_a_half() -> None:
    with pytest.raises(SettingError, match=r"up to 1\.5"):
        said("mistral", temperature=1.6)


def test_a_model_thinks_or_does_not() -> None:
    assert said("mistral", effort="none") == {"reasoning_effort": "none"}
    assert said("mistral", effort="high", thoughts=True) == {"reasoning_effort": "high"}
    with pytest.raises(SettingError, match="'none', 'high'"):
        said("mistral", effort="medium")


def test_thoughts_can_be_left_out_by_not_thinking_alone() -> None:
    with pytest.raises(SettingError, match=r'thoughts=False\. .* effort="none"'):
        said("mistral", thoughts=False)


def test_how_likely_its_words_were_cannot_be_asked() -> None:
    with pytest.raises(SettingError, match="takes no logprobs="):
        said("mistral", logprobs=True)
