"""What OpenAI's models are told in its two APIs, and what they cannot be."""

import pytest

from tests.providers.bodies import said
from tidyllm.core.errors import SettingError
from tidyllm.providers.openai import openai

KEPT = {"store": False}
REASONS = {"store": False, "include": ["reasoning.encrypted_content"]}
CHAT = "chat_completions"


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("gpt-6.2-sol", REASONS),
        ("gpt-6-luna", REASONS),
        ("gpt-5", REASONS),
        ("gpt-5-mini", REASONS),
        ("gpt-5-codex", REASONS),
        ("gpt-5.1-2025-11-13", REASONS),
        ("o3", REASONS),
        ("gpt-5-chat-latest", KEPT),
        ("gpt-4o", KEPT),
        ("a-model-of-tomorrow", KEPT),
    ],
)
def test_models_that_reason_are_asked_for_their_thoughts(model: str, fields: dict[str, object]) -> None:
    assert said("openai", model) == fields


@pytest.mark.parametrize("option", ["temperature", "top_p", "logprobs"])
@pytest.mark.parametrize("api", ["responses", CHAT])
def test_models_that_reason_refuse_what_steers_the_choice_of_tokens(api: str, option: str) -> None:
    for model in ("o3", "gpt-5", "gpt-6-luna", "gpt-6.2-astra"):
        with pytest.raises(SettingError, match=f'takes no {option}=.*effort="none"'):
            said("openai", model, api=api, **{option: 1})
    assert said("openai", "gpt-6-luna", api=api, effort="none", **{option: 1})
    assert said("openai", "gpt-4o", api=api, **{option: 1})


@pytest.mark.parametrize(
    ("option", "value"), [("stop", "END"), ("frequency_penalty", 1), ("presence_penalty", 1), ("seed", 1)]
)
def test_what_only_chat_completions_have_is_refused_with_their_name(option: str, value: object) -> None:
    for model in ("gpt-6-luna", "gpt-4o"):
        with pytest.raises(SettingError, match='api="chat_completions"'):
            said("openai", model, **{option: value})
        assert said("openai", model, api=CHAT, effort=None if model == "gpt-4o" else "none", **{option: value})


def test_models_that_reason_stop_where_they_want() -> None:
    with pytest.raises(SettingError, match=r"takes no stop=\. It reasons"):
        said("openai", "gpt-6.2-sol", api=CHAT, stop="END")


@pytest.mark.parametrize("api", ["responses", CHAT])
def test_older_models_do_not_think(api: str) -> None:
    for option in ({"effort": "low"}, {"thoughts": True}):
        with pytest.raises(SettingError, match="It does not reason"):
            said("openai", "gpt-4.1", api=api, **option)


def test_thoughts_are_told_by_responses_alone() -> None:
    assert said("openai", "gpt-6-luna", thoughts=True) == REASONS | {"reasoning": {"summary": "auto"}}
    with pytest.raises(SettingError, match="Responses, the other API, does"):
        said("openai", "gpt-6-luna", api=CHAT, thoughts=True)


@pytest.mark.parametrize(
    ("model", "api", "taken"),
    [
        ("gpt-6-astra", "responses", {"low", "medium", "high", "xhigh", "max"}),
        ("gpt-6-astra", CHAT, {"low", "medium", "high", "xhigh"}),
        ("gpt-6.2-sol", "responses", {"low", "medium", "high", "xhigh"}),
        ("gpt-6.2-astra", CHAT, {"low", "medium", "high", "xhigh"}),
        ("gpt-6-luna", "responses", {"none", "minimal", "low", "medium", "high", "xhigh", "max"}),
        ("a-model-of-tomorrow", CHAT, {"none", "minimal", "low", "medium", "high", "xhigh", "max"}),
    ],
)
@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_each_family_has_its_words_for_effort(model: str, api: str, taken: set[str], effort: str) -> None:
    if effort in taken:
        body = said("openai", model, api=api, effort=effort)
        assert body["reasoning" if api == "responses" else "reasoning_effort"] in (effort, {"effort": effort})
    else:
        with pytest.raises(SettingError, match="It takes: 'low'"):
            said("openai", model, api=api, effort=effort)


def test_the_other_api_is_named_where_it_has_more() -> None:
    with pytest.raises(SettingError, match='Responses has "max" besides'):
        said("openai", "gpt-6-astra", api=CHAT, effort="max")


def test_batches_speak_what_the_live_api_speaks() -> None:
    assert openai.batch_chats == (openai.chat, *openai.chat_also)
    assert [chat.path for chat in openai.batch_chats] == ["/v1/responses", "/v1/chat/completions"]
    assert openai.batch_embed_path == "/v1/embeddings"
