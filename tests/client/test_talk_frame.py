"""Conversations as tables, and back."""

import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidyllm import LLMMessage, llm_message
from tidyllm.core.errors import SettingError
from tidyllm.core.media import Media
from tidyllm.core.message import AssistantTurn, UserTurn
from tidyllm.core.reply import Citation, Likely, Opaque, Reply, TokenLikelihood

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
COUNTS = st.none() | st.integers(0, 2**62)
FLOATS = st.floats(allow_nan=False)
MAYBE = st.none() | TEXTS
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
LIKELY = st.builds(Likely, TEXTS, FLOATS)
REPLIES = st.builds(
    Reply,
    **dict.fromkeys(("text", "refusal", "thoughts", "finish", "model", "provider", "asked", "id"), MAYBE),
    **dict.fromkeys(("tokens_in", "tokens_out", "tokens_cached", "tokens_reasoning"), COUNTS),
    citations=st.lists(
        st.builds(Citation, url=MAYBE, title=MAYBE, quote=MAYBE, start=COUNTS, end=COUNTS), max_size=2
    ).map(tuple),
    logprobs=st.lists(
        st.builds(TokenLikelihood, token=TEXTS, logprob=FLOATS, alternatives=st.lists(LIKELY, max_size=2).map(tuple)),
        max_size=2,
    ).map(tuple),
    request_id=MAYBE,
    cost=st.none() | FLOATS,
    seconds=st.none() | FLOATS,
    opaque=st.none() | st.builds(Opaque, TEXTS, JSON),
    body=st.binary(max_size=8),
)
MEDIA = st.builds(Media, mime_type=TEXTS, data=st.binary(min_size=1, max_size=8), name=MAYBE) | st.builds(
    Media, mime_type=TEXTS, url=TEXTS, name=MAYBE
)
TURNS = st.builds(UserTurn, TEXTS, st.lists(MEDIA, max_size=2).map(tuple)) | st.builds(AssistantTurn, REPLIES)
TALKS = st.builds(LLMMessage, system=MAYBE, turns=st.lists(TURNS, max_size=4).map(tuple))
HI, MARK = "Hi", "!"
FULL = LLMMessage(
    system="Be brief.",
    turns=(
        UserTurn("Hi"),
        AssistantTurn(
            Reply(
                text="Hello.",
                thoughts="A greeting.",
                citations=(Citation(url="https://x", start=0, end=2), Citation()),
                finish="stop",
                tokens_in=3,
                cost=0.25,
                logprobs=(TokenLikelihood(token=HI, logprob=-0.5, alternatives=(Likely(HI, -0.5),)),),
                opaque=Opaque("x", {"a": [1, None]}),
                body=b'{"a": 1}',
            )
        ),
        UserTurn("And?"),
        AssistantTurn(Reply(refusal="No.")),
    ),
)
PLAIN = {"role": ["system", "user", "assistant", "user"], "content": ["Be brief.", "Hi", "Hello.", "And?"]}


@given(TALKS)
@settings(deadline=None)
def test_a_conversation_survives_a_table(talk: LLMMessage) -> None:
    table = talk.to_frame()
    assert table.schema == LLMMessage().to_frame().schema
    assert LLMMessage.from_frame(table) == talk


def test_a_table_has_a_row_a_turn_and_every_field_of_a_reply() -> None:
    table = FULL.to_frame()
    assert table.columns[:3] == ["role", "content", "media"]
    assert {*table.columns[3:]} == {*Reply.__struct_fields__} - {"text"}
    assert table.select("role", "content").rows() == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", "And?"),
        ("assistant", None),
    ]
    assert table["body"].to_list() == [None, None, b'{"a": 1}', None, b""]
    assert table["tokens_in"].to_list() == [None, None, 3, None, None]


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
def test_a_table_of_another_library_tells_the_same(kind: str) -> None:
    for talk in (FULL, LLMMessage(), llm_message("Hi")):
        table = talk.to_frame()
        assert LLMMessage.from_frame(table.to_pandas() if kind == "pandas" else table.to_arrow()) == talk


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame, pa.table], ids=["polars", "pandas", "pyarrow"])
def test_role_and_content_are_enough(make: type) -> None:
    expected = LLMMessage(
        system="Be brief.", turns=(UserTurn("Hi"), AssistantTurn(Reply(text="Hello.")), UserTurn("And?"))
    )
    assert LLMMessage.from_frame(make(PLAIN)) == expected
    assert LLMMessage.from_frame(make({**PLAIN, "written_at": [1, 2, 3, 4]})) == expected


def test_roles_may_be_categories() -> None:
    table = pl.DataFrame(PLAIN).with_columns(pl.col("role").cast(pl.Categorical))
    assert LLMMessage.from_frame(table).system == "Be brief."


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"role": ["user"]}, "no column content: it needs role and content"),
        ({"text": ["user"]}, "no column role nor content"),
        ({"role": ["bot"], "content": ["a"]}, "Row 1 has the role 'bot': there are system, user, assistant"),
        ({"role": [None], "content": ["a"]}, "Row 1 has the role None"),
        ({"role": ["user"], "content": [None]}, "Row 1, of the user, has no content"),
        ({"role": ["user"], "content": [1]}, "column content must be text, not Int64"),
        ({"role": ["user", "system"], "content": ["a", "b"]}, "Row 2 is of the system: it speaks once"),
        ({"role": ["system", "system"], "content": ["a", "b"]}, "Row 2 is of the system"),
        ({"role": ["assistant"], "content": ["a"], "tokens_in": ["many"]}, "column tokens_in must hold what to_frame"),
        ({"role": ["assistant"], "content": ["a"], "opaque": ["{"]}, "holds what to_frame.* does not write"),
        (
            {"role": ["assistant"], "content": ["a"], "logprobs": [[{"token": None}]]},
            "logprobs must hold what",
        ),
    ],
)
def test_a_table_that_tells_no_conversation_says_what_to_do(table: dict[str, list[object]], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        LLMMessage.from_frame(pl.DataFrame(table))


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(SettingError, match="no table"):
        LLMMessage.from_frame(PLAIN)  # type: ignore[arg-type]


def test_tokens_have_a_table_that_says_in_which_answer_they_are() -> None:
    one = TokenLikelihood(token=HI, logprob=-0.5, alternatives=(Likely(HI, -0.5), Likely("Ho", -1.5)))
    talk = LLMMessage(
        turns=(
            *(UserTurn("a"), AssistantTurn(Reply(text="b")), UserTurn("c")),
            AssistantTurn(Reply(text="Hi!", logprobs=(one, TokenLikelihood(token=MARK, logprob=0.0)))),
        )
    )
    table = talk.logprobs()
    alternatives = [{"token": "Hi", "logprob": -0.5}, {"token": "Ho", "logprob": -1.5}]
    assert table.rows() == [(2, "Hi", -0.5, alternatives), (2, "!", 0.0, [])]
    assert llm_message("Hi").logprobs().schema == table.schema
    assert table.schema == {
        "reply": pl.Int64,
        "token": pl.String,
        "logprob": pl.Float64,
        "alternatives": pl.List(pl.Struct({"token": pl.String, "logprob": pl.Float64})),
    }
