"""What each provider can tell, plain and streamed: there is an exchange of each, in which it survives the trip."""

import json
import re
from collections.abc import Callable, Mapping

import pytest

from tests.conformance.cases import EXCHANGES, PROVIDERS, Case, cases
from tidyllm.core.errors import SettingError
from tidyllm.core.media import SOME_IMAGE, Kind, Media
from tidyllm.core.message import AssistantTurn
from tidyllm.core.reply import Reply
from tidyllm.dialects.media import WHO
from tidyllm.provider import find_provider
from tidyllm.transport.drive import drive

HAS = {
    "azure_openai": {"refusal", "truncated"},
    "chat_completions": {"truncated"},
    "claude": {"citation", "thought", "refusal", "truncated"},
    "deepseek": {"thought", "refusal", "truncated"},
    "gemini": {"citation", "thought", "refusal", "truncated"},
    "groq": {"citation", "thought", "truncated"},
    "llamacpp": {"thought", "truncated"},
    "local": {"truncated"},
    "mistral": {"citation", "thought", "truncated"},
    "ollama": {"thought", "truncated"},
    "openai": {"citation", "thought", "refusal", "truncated"},
    "openrouter": {"citation", "thought", "refusal", "truncated"},
    "perplexity": {"citation", "truncated"},
    "vllm": {"thought", "truncated"},
}
"""By the providers' documentation; a system prompt and a reason for stopping all of them have."""
TELLS: Mapping[str, Callable[[Reply], bool]] = {
    "citation": lambda reply: bool(reply.citations),
    "thought": lambda reply: bool(reply.thoughts),
    "refusal": lambda reply: reply.outcome.value == "refused" and bool(reply.refusal or reply.finish),
    "truncated": lambda reply: reply.outcome.value == "truncated" and reply.finish == "length",
}
CASES = {(case.provider, case.path.stem): case for case in cases("chat", "stream")}
CHATTING = [name for name in PROVIDERS if find_provider(name).chat is not None]

BY_SCHEMA = [name for name in CHATTING if (chat := find_provider(name).chat) and chat.schema_forms]


def had(case: Case) -> Reply:
    return drive(case.asking(), case.transport)


@pytest.mark.parametrize("manner", ["chat", "stream"])
@pytest.mark.parametrize(
    ("provider", "feature"), [(name, feature) for name in CHATTING for feature in sorted(HAS.get(name, ()))]
)
def test_what_a_provider_tells_survives(provider: str, feature: str, manner: str) -> None:
    assert TELLS[feature](had(CASES[provider, f"{manner}_{feature}"]))


@pytest.mark.parametrize("manner", ["chat", "stream"])
@pytest.mark.parametrize("provider", CHATTING)
def test_a_system_prompt_is_sent_and_the_reason_for_stopping_told(provider: str, manner: str) -> None:
    case = CASES[provider, f"{manner}_plain"]
    assert case.note.call.system
    sent = json.loads((EXCHANGES / provider / f"{manner}_plain.json").read_bytes())["request"]["body"]
    assert case.note.call.system in json.dumps(sent)
    assert had(case).finish == "stop"
    assert had(case).tokens_out


@pytest.mark.parametrize("provider", BY_SCHEMA)
def test_an_answer_by_a_schema_is_data(provider: str) -> None:
    case = CASES[provider, "chat_schema"]
    assert AssistantTurn(had(case), case.schema).data() == case.note.data


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("provider", CHATTING)
def test_there_is_an_exchange_with_each_kind_of_media_that_a_provider_takes(provider: str, kind: Kind) -> None:
    dialects = [dialect for dialect in (find_provider(provider).chat, *find_provider(provider).chat_also) if dialect]
    takes = any(
        pattern.startswith("image/") == (kind is Kind.IMAGE) for one in dialects for pattern in one.media.as_bytes
    )
    sent = {medium.kind for (name, _), case in CASES.items() if name == provider for medium in case.note.call.media}
    assert (kind in sent) == takes


@pytest.mark.parametrize(("patterns", "told"), WHO, ids=[patterns[0] for patterns, _ in WHO])
def test_who_is_said_to_take_something_does(patterns: tuple[str, ...], told: str) -> None:
    named = re.findall(r"(\w+)\(\)", told)
    assert named
    for name in named:
        chat = find_provider(name).chat
        assert chat is not None
        for pattern in patterns:
            mime_type = {"text/*": "text/csv"}.get(pattern, pattern)
            chat.media.check(Media(mime_type=mime_type, data=b"x"), model="any")
    if patterns[0] != SOME_IMAGE:
        others = [one for name in CHATTING if name not in named and (one := find_provider(name).chat) is not None]
        for one in others:
            with pytest.raises(SettingError):
                one.media.check(Media(mime_type=patterns[0].replace("*", "csv"), data=b"x"), model="any")


@pytest.mark.parametrize("provider", CHATTING)
def test_it_is_known_of_every_provider_what_it_has(provider: str) -> None:
    assert provider in HAS
