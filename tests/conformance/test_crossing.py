"""A conversation begun with one provider goes on with each other: all pairs, and what cannot cross is said."""

import json
from functools import cache

import msgspec
import pytest

from tests.conformance.cases import EXCHANGES, PROVIDERS, cases, made
from tidyllm import LLMMessage, Preview, chat, using
from tidyllm.core.message import AssistantTurn, UserTurn
from tidyllm.core.reply import Opaque, Reply
from tidyllm.core.wire import Request, Response
from tidyllm.provider import Model, find_provider
from tidyllm.testing.exchanges import content_of
from tidyllm.transport.drive import Transport, drive
from tidyllm.transport.keys import Keys

CHATTING = [name for name in PROVIDERS if find_provider(name).chat is not None]
CASES = {(case.provider, case.path.stem): case for case in cases("chat")}
MARK = "c2lnbmVkIHRob3VnaHRz"
"""Stands in every opaque datum, and nowhere else."""


class Anyone:
    """A provider that takes every request, and answers with what the exchange `chat_plain` holds."""

    def __init__(self, provider: str) -> None:
        self.sent: list[bytes] = []
        self._body = content_of(EXCHANGES / provider / "chat_plain.json")

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        assert isinstance(request.body, bytes)
        self.sent.append(request.body)
        return Response(status=200, headers={"content-type": "application/json"}, body=self._body)


def usual(provider: str) -> Model:
    return made(provider, find_provider(provider).chat_model or "some-model")


@cache
def begun(provider: str) -> LLMMessage:
    """Return a conversation that this provider has answered, with thoughts where it has an exchange of some."""
    case = CASES.get((provider, "chat_thought")) or CASES[provider, "chat_plain"]
    reply = drive(case.asking(), case.transport)
    assert case.note.call.text is not None
    turns = (UserTurn(case.note.call.text), AssistantTurn(_marked(reply)))
    return LLMMessage(system="Be brief.", turns=turns).message("And when was that?")


def _marked(reply: Reply) -> Reply:
    """Return the reply with a mark in what is opaque, by which it would be known again."""
    if reply.opaque is None:
        return reply
    data = json.loads(json.dumps(reply.opaque.data))
    data[0]["mark"] = MARK
    return msgspec.structs.replace(reply, opaque=Opaque(reply.opaque.api, data))


@pytest.mark.parametrize("second", CHATTING)
@pytest.mark.parametrize("first", CHATTING)
def test_a_conversation_goes_on_with_any_other_provider(first: str, second: str) -> None:
    talk, model = begun(first), usual(second)
    other = Anyone(second)
    with using(Transport(sender=other, keys=Keys("key"))):
        shown = chat(talk, model, dry_run=True)
        went_on = chat(talk, model)
    assert isinstance(shown, Preview)
    assert len(went_on.turns) == len(talk.turns) + 1
    assert went_on.reply()
    (body,) = other.sent
    assert json.loads(body) == shown.body
    said = json.dumps(shown.body, ensure_ascii=False)
    for told in ("Be brief.", talk.reply(), "And when was that?"):
        assert json.dumps(told, ensure_ascii=False)[1:-1] in said
    answer = talk.turns[1]
    assert isinstance(answer, AssistantTurn)
    own = answer.reply.provider == second and answer.reply.asked == model.chat_name
    if answer.reply.opaque is not None:
        assert (MARK in said) == own
        assert ("opaque thoughts" in "".join(shown.left_behind)) == (not own)
    elif answer.reply.thoughts is None and not answer.reply.citations:
        assert shown.left_behind == ()


@pytest.mark.parametrize("provider", CHATTING)
def test_another_model_of_the_same_provider_is_not_told_what_is_opaque(provider: str) -> None:
    shown = chat(begun(provider), made(provider, "another-model"), dry_run=True)
    assert isinstance(shown, Preview)
    assert MARK not in json.dumps(shown.body)
