"""What Groq is told, and what it cannot be."""

import pytest

from tests.providers.bodies import said
from tidyllm.core.errors import SettingError
from tidyllm.providers.groq import groq

OSS, QWEN, OLDER_QWEN = "openai/gpt-oss-20b", "qwen/qwen3.8-27b", "qwen/qwen3.6-27b"


@pytest.mark.parametrize("option", ["logprobs", "top_k", "frequency_penalty", "presence_penalty"])
def test_what_it_does_not_support_is_refused(option: str) -> None:
    with pytest.raises(SettingError, match=f"takes no {option}="):
        said("groq", OSS, **{option: 1})


def test_at_most_four_texts_end_an_answer() -> None:
    assert said("groq", OSS, stop=["a", "b", "c", "d"])["stop"] == ("a", "b", "c", "d")
    with pytest.raises(SettingError, match="at most 4"):
        said("groq", OSS, stop=["a", "b", "c", "d", "e"])


@pytest.mark.parametrize(
    ("model", "taken"),
    [
        (OSS, {"low", "medium", "high"}),
        (QWEN, {"none", "low", "medium", "high"}),
        (OLDER_QWEN, {"none"}),
        ("a-model-of-tomorrow", {"none", "low", "medium", "high"}),
    ],
)
@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_each_family_has_its_words_for_effort(model: str, taken: set[str], effort: str) -> None:
    if effort in taken:
        assert said("groq", model, effort=effort)["reasoning_effort"] == effort
    else:
        with pytest.raises(SettingError, match="It takes: "):
            said("groq", model, effort=effort)


@pytest.mark.parametrize(
    ("model", "thoughts", "fields"),
    [
        (OSS, None, {}),
        (OSS, True, {"include_reasoning": True}),
        (OSS, False, {"include_reasoning": False}),
        (QWEN, None, {"reasoning_format": "parsed"}),
        (QWEN, True, {"reasoning_format": "parsed"}),
        (OLDER_QWEN, False, {"reasoning_format": "hidden"}),
    ],
)
def test_thoughts_are_told_apart_from_the_text_or_not_at_all(
    model: str, fields: dict[str, object], *, thoughts: bool | None
) -> None:
    assert said("groq", model, thoughts=thoughts) == fields


def test_the_environment_names_the_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_BASE_URL", "https://groq.example/")
    assert groq().base_url == "https://groq.example/openai/v1"
