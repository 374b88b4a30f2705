"""Conversations as values, and as JSON."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.reply import Citation, Reply

TEXT = st.text(st.characters(codec="utf-8"))
MAYBE_TEXT = st.none() | TEXT
MAYBE_COUNT = st.none() | st.integers(0, 2**53)
CITATIONS = st.builds(Citation, url=MAYBE_TEXT, title=MAYBE_TEXT, start=MAYBE_COUNT, end=MAYBE_COUNT)
REPLIES = st.builds(
    Reply,
    text=MAYBE_TEXT,
    refusal=MAYBE_TEXT,
    thoughts=MAYBE_TEXT,
    citations=st.lists(CITATIONS, max_size=3).map(tuple),
    finish=MAYBE_TEXT,
    model=MAYBE_TEXT,
    tokens_in=MAYBE_COUNT,
    tokens_out=MAYBE_COUNT,
    tokens_cached=MAYBE_COUNT,
    tokens_reasoning=MAYBE_COUNT,
    id=MAYBE_TEXT,
    request_id=MAYBE_TEXT,
    provider=MAYBE_TEXT,
    seconds=st.none() | st.floats(0, 1e6),
    body=st.binary(),
)
TURNS = st.builds(UserTurn, TEXT) | st.builds(AssistantTurn, REPLIES)
CONVERSATIONS = st.builds(Conversation, system=MAYBE_TEXT, turns=st.lists(TURNS, max_size=5).map(tuple))


@given(CONVERSATIONS)
def test_a_conversation_comes_back_from_json_as_it_was(conversation: Conversation) -> None:
    assert msgspec.json.decode(msgspec.json.encode(conversation), type=Conversation) == conversation


def test_a_turn_in_json_says_whose_it_is_and_nothing_that_is_not_known() -> None:
    talk = Conversation(turns=(UserTurn("Hi"), AssistantTurn(Reply(text="Hello."))))
    assert msgspec.to_builtins(talk) == {
        "turns": ({"role": "user", "text": "Hi"}, {"role": "assistant", "reply": {"text": "Hello."}}),
        "system": None,
    }


@pytest.mark.parametrize(
    ("reply", "text"), [(Reply(text="Hello."), "Hello."), (Reply(refusal="No."), "No."), (Reply(), "")]
)
def test_an_answer_speaks_by_its_text_or_why_there_is_none(reply: Reply, text: str) -> None:
    assert AssistantTurn(reply).text == text
