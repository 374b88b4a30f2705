"""What Claude's families of models take."""

import pytest

from tests.providers.bodies import said
from tidyllm import claude
from tidyllm.core.errors import SettingError


def test_a_longest_answer_is_always_told() -> None:
    assert said("claude", "claude-opus-5-5") == {"max_tokens": 128_000}
    assert said("claude", "claude-opus-5-5", max_tokens=5) == {"max_tokens": 5}
    assert said("claude", "claude-haiku-4-5-20251001") == {"max_tokens": 64_000}


def test_older_models_can_be_steered() -> None:
    steered = {"temperature": 0.5, "top_p": 0.9, "top_k": 3}
    assert said("claude", "claude-sonnet-4-6", **steered) == {"max_tokens": 64_000, **steered}
    with pytest.raises(SettingError, match=r"claude-sonnet-4-6 takes temperature= up to 1, not 1\.5"):
        said("claude", "claude-sonnet-4-6", temperature=1.5)


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-sonnet-5-5", "claude-opus-5", "claude-tomorrow"])
def test_newer_models_cannot_and_effort_is_nearest(model: str, name: str) -> None:
    with pytest.raises(SettingError, match=f"{model} takes no {name}=.*effort="):
        said("claude", model, **{name: 1})


@pytest.mark.parametrize("name", ["seed", "logprobs", "frequency_penalty", "presence_penalty"])
def test_what_the_api_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"takes no {name}="):
        said("claude", "claude-opus-5-5", **{name: 1})


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        ("claude-opus-5-5", "xhigh", {"output_config": {"effort": "xhigh"}}),
        ("claude-sonnet-5", "none", {"thinking": {"type": "disabled"}}),
        ("claude-opus-5", "max", {"output_config": {"effort": "max"}}),
        ("claude-opus-4-8", "low", {"output_config": {"effort": "low"}, "thinking": {"type": "adaptive"}}),
        ("claude-opus-4-6", "none", {"thinking": {"type": "disabled"}}),
        ("claude-haiku-4-5", "low", {"thinking": {"type": "enabled", "budget_tokens": 2_048}}),
    ],
)
def test_each_family_is_told_how_much_to_think_in_its_own_words(
    model: str, effort: str, fields: dict[str, object]
) -> None:
    told = said("claude", model, effort=effort)
    del told["max_tokens"]
    assert told == fields


def test_a_model_that_always_thinks_says_so() -> None:
    with pytest.raises(SettingError, match=r"effort='none'.*It always thinks\."):
        said("claude", "claude-fable-5-2", effort="none")


def test_thoughts_are_shown_or_left_out() -> None:
    told = said("claude", "claude-opus-5-5", thoughts=True, effort="low")
    assert told["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert told["output_config"] == {"effort": "low"}
    assert said("claude", "claude-opus-5-5", thoughts=False)["thinking"] == {"type": "adaptive", "display": "omitted"}
    told = said("claude", "claude-opus-4-5", thoughts=True, effort="high")
    assert told["thinking"] == {"type": "enabled", "budget_tokens": 16_384}
    with pytest.raises(SettingError, match="always told"):
        said("claude", "claude-opus-4-5", thoughts=False)


def test_texts_to_stop_at_have_their_own_name() -> None:
    assert said("claude", "claude-opus-5-5", stop=["a", "b"])["stop_sequences"] == ("a", "b")


def test_the_variable_of_anthropic_s_own_library_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://proxy.example/")
    assert claude("m").base_url == "https://proxy.example/v1"
