"""Every provider that has chat, by the exchanges in its folder: plain and streamed."""

import pytest

from tests.conformance.cases import PROVIDERS, Case, cases, facts, told
from tidyllm.core.errors import TidyllmError
from tidyllm.provider import find_provider
from tidyllm.testing.exchanges import content_of
from tidyllm.transport.drive import drive

CASES = cases("chat", "stream")
CHATTING = [name for name in PROVIDERS if find_provider(name).chat is not None]


@pytest.mark.parametrize("case", [case for case in CASES if case.note.reply is not None], ids=str)
def test_an_answer_says_what_the_provider_said(case: Case) -> None:
    wanted = case.note.reply
    assert wanted is not None
    reply = drive(case.asking(), case.transport)
    assert told(reply, wanted) == wanted
    assert reply.provider == case.provider
    assert reply.asked == case.model.chat_name


@pytest.mark.parametrize("case", [case for case in CASES if case.note.error is not None], ids=str)
def test_an_error_is_the_exception_that_it_should_be(case: Case) -> None:
    wanted = case.note.error
    assert wanted is not None
    with pytest.raises(TidyllmError) as caught:
        drive(case.asking(), case.transport)
    assert facts(caught.value, wanted) == wanted


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("case", [case for case in CASES if case.note.pieces is not None], ids=str)
def test_a_stream_is_passed_on_in_pieces_however_it_is_cut(case: Case, size: int) -> None:
    assert case.model.chat is not None
    decoder, body = case.model.chat.decoder(), content_of(case.path)
    pieces = [piece for at in range(0, len(body), size) for piece in decoder.feed(body[at : at + size])]
    assert pieces == case.note.pieces


@pytest.mark.parametrize("provider", CHATTING)
def test_there_is_an_exchange_for_each_way_to_chat(provider: str) -> None:
    there = {case.path.stem for case in CASES if case.provider == provider}
    assert {"chat_plain", "stream_plain"} <= there
