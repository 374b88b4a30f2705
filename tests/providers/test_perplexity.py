"""What Perplexity is told: nothing that it does not know."""

import pytest

from tests.providers.bodies import said
from tidyllm.core.errors import SettingError
from tidyllm.dialects.openai.responses import Responses
from tidyllm.providers.perplexity import perplexity

SONAR = "perplexity/sonar"


def test_a_request_says_nothing_that_was_not_asked() -> None:
    assert said("perplexity", SONAR) == {}


def test_every_field_is_one_that_it_knows() -> None:
    assert isinstance(perplexity.chat, Responses)
    assert perplexity.chat.known_fields is not None
    body = said("perplexity", SONAR, temperature=0.5, max_tokens=16, top_p=0.5, effort="high")
    assert body == {"temperature": 0.5, "max_output_tokens": 16, "top_p": 0.5, "reasoning": {"effort": "high"}}
    assert body.keys() <= perplexity.chat.known_fields


@pytest.mark.parametrize(
    "field", ["stop", "n", "seed", "include", "metadata", "text", "truncation", "parallel_tool_calls"]
)
def test_a_field_that_it_does_not_know_is_refused_before_it_is_sent(field: str) -> None:
    with pytest.raises(SettingError, match=f"refuses: {field}"):
        said("perplexity", SONAR, extra={field: 1})


def test_what_it_has_besides_goes_through() -> None:
    extra = {"tools": [{"type": "web_search"}], "effort": "low", "store": False, "max_steps": 3}
    assert said("perplexity", SONAR, extra=extra) == extra


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("seed", 1),
        ("stop", "END"),
        ("top_k", 5),
        ("frequency_penalty", 1),
        ("presence_penalty", 1),
        ("logprobs", 1),
        ("thoughts", True),
        ("effort", "max"),
    ],
)
def test_what_it_does_not_have_is_refused_and_no_other_api_is_named(option: str, value: object) -> None:
    with pytest.raises(SettingError, match=f"takes no {option}=") as caught:
        said("perplexity", SONAR, **{option: value})
    assert "chat_completions" not in str(caught.value)


def test_the_environment_names_the_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERPLEXITY_BASE_URL", "https://perplexity.example/")
    assert perplexity().base_url == "https://perplexity.example/v1"
