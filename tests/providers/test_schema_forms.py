"""Which models are asked for an answer by a schema, and how."""

import pytest

from tests.conformance.cases import PROVIDERS, made
from tidyllm.client.schemas import field_int, tidyllm_schema
from tidyllm.core.errors import SettingError
from tidyllm.core.message import Conversation, UserTurn
from tidyllm.provider import find_provider

SCHEMA = tidyllm_schema("Stars", stars=field_int())
ASK = Conversation(turns=(UserTurn("Rate it."),))
CHATTING = [name for name in PROVIDERS if find_provider(name).chat is not None]


def body(provider: str, model: str, *, streamed: bool = False, **options: object) -> dict[str, object]:
    asked = made(provider, model, **options)
    assert asked.chat is not None
    return asked.chat.body(model, ASK, params=asked.params, streamed=streamed, schema=SCHEMA)


@pytest.mark.parametrize("provider", CHATTING)
def test_every_provider_that_has_chat_is_asked_with_all_that_the_schema_says(provider: str) -> None:
    assert "stars" in repr(body(provider, "some-model"))


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
@pytest.mark.parametrize("model", ["gpt-3.5-turbo", "gpt-4", "gpt-4-turbo", "o1-mini"])
def test_older_models_of_openai_have_none(model: str, api: str) -> None:
    with pytest.raises(SettingError, match=r"takes no schema=\. gpt-4o-mini and later models do"):
        body("openai", model, api=api)
    assert body("openai", "gpt-4o", api=api)
    with pytest.raises(SettingError, match="takes no schema="):
        body("azure_openai", "deployed", api=api, model_family=model)


def test_groq_enforces_a_schema_with_some_models_and_streams_none() -> None:
    formats = [body("groq", model)["response_format"] for model in ("openai/gpt-oss-20b", "qwen/qwen3.6-35b")]
    assert [told["json_schema"]["strict"] for told in formats] == [True, False]  # type: ignore[index]
    with pytest.raises(SettingError, match="does not stream an answer to schema="):
        body("groq", "openai/gpt-oss-20b", streamed=True)


def test_claude_is_told_of_its_effort_beside_the_schema() -> None:
    told = body("claude", "claude-sonnet-5-5", effort="low")["output_config"]
    assert isinstance(told, dict)
    assert (told["effort"], told["format"]["type"]) == ("low", "json_schema")


def test_a_format_of_the_users_own_does_not_go_with_a_schema() -> None:
    with pytest.raises(SettingError, match="extra= repeats what the request already says: response_format"):
        body("mistral", "m", extra={"response_format": {"type": "json_object"}})
