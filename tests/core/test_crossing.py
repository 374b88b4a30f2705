"""What of a conversation may be told to which model."""

from tidyllm.core.crossing import Listener, left_behind, told
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.reply import Citation, Opaque, Reply

SIGNED = Reply(
    text="Yes.",
    thoughts="Hm.",
    citations=(Citation(url="https://a.example"),),
    provider="claude",
    asked="m",
    opaque=Opaque("messages", [1]),
)
PLAIN = Reply(text="No.")
TALK = Conversation(
    system="Be brief.", turns=(UserTurn("Hi"), AssistantTurn(SIGNED), UserTurn("And?"), AssistantTurn(PLAIN))
)


def test_its_own_model_is_told_everything() -> None:
    assert told(TALK, Listener("claude", "m", "messages")) == TALK
    assert left_behind(TALK, Listener("claude", "m", "messages")) == ()


def test_another_model_is_told_the_text_alone_and_that_is_said() -> None:
    for other in (
        Listener("openai", "m", "messages"),
        Listener("claude", "n", "messages"),
        Listener("claude", "m", "chat_completions"),
    ):
        seen = told(TALK, other)
        assert [turn.text for turn in seen.turns] == ["Hi", "Yes.", "And?", "No."]
        assert seen.system == TALK.system
        assert [turn.reply.opaque for turn in seen.turns if isinstance(turn, AssistantTurn)] == [None, None]
        assert left_behind(TALK, other) == (
            "Turn 2: the opaque thoughts, the thoughts, the citations of claude m stay behind; the text goes along.",
        )


def test_an_author_that_is_unknown_is_called_so() -> None:
    talk = Conversation(turns=(AssistantTurn(Reply(thoughts="Hm.")),))
    assert left_behind(talk, Listener("openai", "m", "messages")) == (
        "Turn 1: the thoughts of an unknown model stay behind; the text goes along.",
    )
