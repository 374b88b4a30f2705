"""The R package's names for looking into a conversation, for whoever knows them; the same is had from LLMMessage.

    from tidyllm.compat import get_reply, last_metadata

Unlike R's, an index counts from 0, and from the end where it is negative, as everywhere in Python.
"""

from typing import TYPE_CHECKING

from tidyllm.client.chat import LLMMessage
from tidyllm.core.errors import SettingError
from tidyllm.core.message import AssistantTurn, UserTurn

if TYPE_CHECKING:
    import polars as pl
    from narwhals.typing import IntoDataFrame

__all__ = [
    "df_llm_message",
    "get_logprobs",
    "get_metadata",
    "get_reply",
    "get_reply_data",
    "get_user_message",
    "last_metadata",
    "last_reply",
    "last_reply_data",
    "last_user_message",
]


def get_reply(talk: LLMMessage, index: int | None = None) -> str | None:
    """Return the text of an answer, of the last one unless told otherwise; None where there is none, or no text in it.

    `get_reply(talk, 0)` is the first answer, where R has `get_reply(talk, 1)`. Raises SettingError for an answer that
    there is not.
    """
    texts = [turn.reply.text for turn in talk.turns if isinstance(turn, AssistantTurn)]
    return texts[_place(index, len(texts), what="answers")] if texts else None


def get_reply_data(talk: LLMMessage, index: int | None = None) -> object:
    """Return the data of an answer that was asked for by a schema, of the last one unless told otherwise.

    Raises what `LLMMessage.reply_data` does.
    """
    answers = [turn for turn in talk.turns if isinstance(turn, AssistantTurn)]
    return answers[_place(index, len(answers), what="answers")].data() if answers else talk.reply_data()


def last_reply_data(talk: LLMMessage) -> object:
    """Return the data of the last answer, which was asked for by a schema."""
    return get_reply_data(talk)


def last_reply(talk: LLMMessage) -> str | None:
    """Return what `get_reply(talk)` does."""
    return get_reply(talk)


def get_user_message(talk: LLMMessage, index: int | None = None) -> str | None:
    """Return what the user said, the last time unless told otherwise; None where the user said nothing.

    Raises SettingError for a turn that there is not.
    """
    texts = [turn.text for turn in talk.turns if isinstance(turn, UserTurn)]
    return texts[_place(index, len(texts), what="turns of the user")] if texts else None


def last_user_message(talk: LLMMessage) -> str | None:
    """Return what `get_user_message(talk)` does."""
    return get_user_message(talk)


def get_metadata(talk: LLMMessage, index: int | None = None) -> "pl.DataFrame":
    """Return a table of the answers, or of one of them: `LLMMessage.metadata`.

    Raises SettingError for an answer that there is not.
    """
    table = talk.metadata()
    return table if index is None else table.slice(_place(index, table.height, what="answers"), 1)


def last_metadata(talk: LLMMessage) -> "pl.DataFrame":
    """Return a table of the last answer; without rows where there is none."""
    return talk.metadata().tail(1)


def get_logprobs(talk: LLMMessage, index: int | None = None) -> "pl.DataFrame":
    """Return a table of the answers' tokens, or of one answer's: `LLMMessage.logprobs`, whose `reply` counts from 1.

    Raises SettingError for an answer that there is not.
    """
    table = talk.logprobs()
    if index is None:
        return table
    answers = sum(isinstance(turn, AssistantTurn) for turn in talk.turns)
    return table.filter(table["reply"] == 1 + _place(index, answers, what="answers"))


def df_llm_message(table: "IntoDataFrame") -> LLMMessage:
    """Return the conversation that a table with the columns `role` and `content` tells: `LLMMessage.from_frame`."""
    return LLMMessage.from_frame(table)


def _place(index: int | None, total: int, *, what: str) -> int:
    """Return a place counted from the beginning; without an index it is the last. Raises SettingError if it is none."""
    if index is None:
        index = -1
    if not -total <= index < total:
        raise SettingError(f"The index {index} leads to none of the {total} {what}: it counts from 0, not from 1.")
    return index % total
