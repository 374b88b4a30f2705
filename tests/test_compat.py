"""The R package's names."""

from collections.abc import Callable

import polars as pl
import pytest

import tidyllm
from tidyllm import LLMMessage, compat, llm_message
from tidyllm.client.schemas import schema_of
from tidyllm.compat import (
    df_llm_message,
    get_logprobs,
    get_metadata,
    get_reply,
    get_reply_data,
    get_user_message,
    last_metadata,
    last_reply,
    last_reply_data,
    last_user_message,
)
from tidyllm.core.errors import SettingError
from tidyllm.core.message import AssistantTurn, UserTurn
from tidyllm.core.reply import Reply, TokenLikelihood

A, B = "a", "b"
TALK = LLMMessage(
    system="Be brief.",
    turns=(
        UserTurn("One?"),
        AssistantTurn(Reply(text="1", model="m1", logprobs=(TokenLikelihood(token=A, logprob=-1.0),))),
        UserTurn("Two?"),
        AssistantTurn(Reply(text="2", model="m2", logprobs=(TokenLikelihood(token=B, logprob=-2.0),))),
        UserTurn("Three?"),
    ),
)


def test_every_name_is_there_and_none_at_the_top() -> None:
    assert compat.__all__ == sorted(compat.__all__)
    assert all(callable(getattr(compat, name)) for name in compat.__all__)
    assert not {*compat.__all__} & {*tidyllm.__all__}


def test_an_answer_is_found_by_its_place() -> None:
    assert get_reply(TALK) == last_reply(TALK) == "2"
    assert [get_reply(TALK, index) for index in (0, 1, -1, -2)] == ["1", "2", "2", "1"]


def test_the_data_of_an_answer_are_found_by_its_place() -> None:
    schema = schema_of(int)
    turns = tuple(AssistantTurn(Reply(text=text), schema) for text in ("1", "2"))
    talk = LLMMessage(turns=turns)
    assert last_reply_data(talk) == get_reply_data(talk) == 2
    assert get_reply_data(talk, 0) == 1
    with pytest.raises(SettingError, match="Nothing was answered yet"):
        last_reply_data(llm_message("Hi"))


def test_what_the_user_said_is_found_by_its_place() -> None:
    assert get_user_message(TALK) == last_user_message(TALK) == "Three?"
    assert [get_user_message(TALK, index) for index in (0, -2)] == ["One?", "Two?"]


def test_where_nothing_was_said_there_is_none() -> None:
    assert get_reply(llm_message("Hi")) is None
    assert last_user_message(LLMMessage()) is None
    assert get_reply(LLMMessage(turns=(AssistantTurn(Reply(refusal="No.")),))) is None
    assert last_metadata(llm_message("Hi")).height == 0


def test_metadata_are_of_all_answers_or_of_one() -> None:
    assert get_metadata(TALK)["model"].to_list() == ["m1", "m2"]
    assert get_metadata(TALK, 0)["model"].to_list() == ["m1"]
    assert get_metadata(TALK, -1).equals(last_metadata(TALK))
    assert last_metadata(TALK)["model"].to_list() == ["m2"]


def test_tokens_are_of_all_answers_or_of_one() -> None:
    assert get_logprobs(TALK).select("reply", "token").rows() == [(1, "a"), (2, "b")]
    assert get_logprobs(TALK, 0)["token"].to_list() == ["a"]
    assert get_logprobs(TALK, -1)["token"].to_list() == ["b"]


@pytest.mark.parametrize("find", [get_reply, get_metadata, get_logprobs])
@pytest.mark.parametrize("index", [2, -3])
def test_a_place_that_there_is_not_is_an_error(find: Callable[[LLMMessage, int], object], index: int) -> None:
    with pytest.raises(SettingError, match=rf"index {index} leads to none of the 2 answers: it counts from 0"):
        find(TALK, index)


def test_a_table_becomes_a_conversation() -> None:
    table = pl.DataFrame({"role": ["user", "assistant"], "content": ["Hi", "Hello."]})
    assert df_llm_message(table) == LLMMessage.from_frame(table)
    assert last_reply(df_llm_message(table)) == "Hello."
