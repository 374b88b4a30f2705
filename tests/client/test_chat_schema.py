"""Conversations whose answers are data: asked for by a schema, read, and asked for again where they do not fit."""

import asyncio
import dataclasses
import json

import pydantic
import pytest

from tidyllm import (
    LLMMessage,
    achat,
    astream,
    chat,
    field_int,
    groq,
    llm_message,
    openai,
    stream,
    tidyllm_schema,
    using,
)
from tidyllm.core.errors import (
    BadAnswerError,
    InvalidAnswerError,
    RefusedAnswerError,
    SettingError,
    TruncatedAnswerError,
)
from tidyllm.core.message import AssistantTurn, UserTurn
from tidyllm.core.reply import Reply
from tidyllm.core.wire import Request, Response
from tidyllm.testing import Behavior, simulated_model

MODEL = openai("m", api="chat_completions", api_key="key")
STARS = tidyllm_schema("Stars", stars=field_int())


class Review(pydantic.BaseModel):
    stars: int

    @pydantic.field_validator("stars")
    @classmethod
    def not_three(cls, stars: int) -> int:
        if stars == 3:
            raise ValueError("three says nothing")
        return stars


@dataclasses.dataclass
class Note:
    text: str
    tags: list[str] = dataclasses.field(default_factory=list)


class Says:
    """A model that says these texts, one after the other."""

    def __init__(self, *texts: str, finish: str = "stop", refusal: str | None = None) -> None:
        self.sent: list[dict[str, object]] = []
        self._texts, self._finish, self._refusal = list(texts), finish, refusal

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        assert isinstance(request.body, bytes)
        self.sent.append(json.loads(request.body))
        message = {
            "role": "assistant",
            "content": self._texts.pop(0) if self._texts else None,
            "refusal": self._refusal,
        }
        body = {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": self._finish}]}
        return Response(status=200, headers={"content-type": "application/json"}, body=json.dumps(body).encode())


def test_an_answer_is_asked_for_and_read_by_a_schema() -> None:
    says = Says('{"stars": 4}')
    with using(says):
        talk = chat("Rate it.", MODEL, schema=STARS)
    assert talk.reply_data() == {"stars": 4}
    assert talk.reply() == '{"stars": 4}'
    assert says.sent[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "Stars", "schema": STARS.definition, "strict": True},
    }


def test_a_class_gives_instances_and_a_type_its_values() -> None:
    with using(Says('{"stars": 4}', '{"text": "x", "tags": null}', '{"value": true}', '{"value": ["a"]}')):
        assert chat("?", MODEL, schema=Review).reply_data() == Review(stars=4)
        assert llm_message("?").chat(MODEL, schema=Note).reply_data() == Note("x")
        assert chat(["?"], MODEL, schema=bool)[0].reply_data() is True
        assert asyncio.run(achat("?", MODEL, schema=list[str])).reply_data() == ["a"]


def test_a_conversation_with_data_survives_json_and_gives_plain_data_then() -> None:
    with using(Says('{"text": "x"}')):
        talk = chat("?", MODEL, schema=Note)
    again = LLMMessage.from_json(talk.to_json())
    assert again == talk
    assert again.reply_data() == {"text": "x"}
    assert '"schema"' not in LLMMessage(turns=(AssistantTurn(Reply(text="Hi")),)).to_json()
    with pytest.raises(SettingError, match="which is not in it"):
        LLMMessage.from_json(talk.to_json().replace("#/$defs/Note", "#/$defs/Nobody", 1))


def test_the_next_answer_is_free_again() -> None:
    with using(Says('{"stars": 4}', "Because.")):
        talk = chat("?", MODEL, schema=STARS).message("Why?").chat(MODEL)
    with pytest.raises(SettingError, match=r"asked for without a schema: give one, \.chat\(provider, schema="):
        talk.reply_data()


def test_there_are_no_data_before_the_first_answer() -> None:
    with pytest.raises(SettingError, match="Nothing was answered yet"):
        llm_message("Hi").reply_data()


@pytest.mark.parametrize(
    ("says", "error", "words"),
    [
        (Says("I won't.", finish="content_filter"), RefusedAnswerError, "its finish is 'content_filter'"),
        (Says(refusal="No."), RefusedAnswerError, "the model declined: No."),
        (Says('{"stars": ', finish="length"), TruncatedAnswerError, "its finish is 'length'. Ask again with a larger"),
        (Says('{"stars": "four"}'), InvalidAnswerError, 'stars: "four" is a text, and must be a whole number'),
        (Says(finish="tool_calls"), InvalidAnswerError, "holds no text; its finish is 'tool_calls'"),
    ],
)
@pytest.mark.parametrize("reask", [True, False])
def test_an_answer_that_is_no_such_data_is_kept_and_says_why_when_they_are_wanted(
    says: Says, error: type[BadAnswerError], words: str, *, reask: bool
) -> None:
    if reask and error is InvalidAnswerError:
        return
    with using(says):
        talk = chat("?", MODEL, schema=STARS, reask=reask)
    assert len(talk.turns) == 2
    with pytest.raises(error) as caught:
        talk.reply_data()
    assert words in str(caught.value)


@pytest.mark.parametrize(("first", "why"), [("Four.", "it is no JSON"), ('{"stars": 3}', "three says nothing")])
def test_a_model_is_told_once_what_is_wrong_and_answers_again(first: str, why: str) -> None:
    says = Says(first, '{"stars": 4}')
    with using(says):
        talk = chat("?", MODEL, schema=Review, reask=True)
    assert talk.reply_data() == Review(stars=4)
    assert [type(turn) for turn in talk.turns] == [UserTurn, AssistantTurn] * 2
    assert talk.turns[1].text == first
    assert why in talk.turns[2].text
    assert talk.turns[2].text.endswith("Answer again, in full, with JSON that fits.")
    assert says.sent[1]["messages"] == [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": first},
        {"role": "user", "content": talk.turns[2].text},
    ]


def test_a_model_is_not_told_a_second_time_nor_without_need() -> None:
    with using(Says("Four.", "Still four.")):
        talk = chat("?", MODEL, schema=Review, reask=True)
    assert len(talk.turns) == 4
    with pytest.raises(InvalidAnswerError):
        talk.reply_data()
    with using(Says('{"stars": 1}')):
        assert len(chat("?", MODEL, schema=Review, reask=True).turns) == 2


def test_asking_again_is_for_schemas_alone() -> None:
    with pytest.raises(SettingError, match="give schema= too"):
        chat("?", MODEL, reask=True)


def test_what_cannot_be_asked_for_is_an_error_before_anything_is_sent() -> None:
    says = Says()
    with using(says):
        with pytest.raises(SettingError, match="may have fields that it does not name"):
            chat("?", MODEL, schema={"type": "object"})
        with pytest.raises(SettingError, match="schema= is a set"):
            chat(["?"], MODEL, schema={"a", "b"})
        with pytest.raises(SettingError, match="does not stream an answer to schema="):
            stream("?", groq(), schema=bool, dry_run=True)
    assert not says.sent


def test_a_dry_run_shows_the_schema() -> None:
    shown = chat("?", MODEL, schema=STARS, dry_run=True)
    assert shown.body["response_format"]["json_schema"]["name"] == "Stars"  # type: ignore[index]
    assert stream("?", MODEL, schema=STARS, dry_run=True).body["response_format"]  # type: ignore[index]

    async def main() -> None:
        assert astream("?", MODEL, schema=STARS, dry_run=True).body["response_format"]  # type: ignore[index]

    asyncio.run(main())


def test_a_streamed_answer_has_data_too() -> None:
    with using(Says('{"stars": 4}', '{"stars": 5}')):
        answer = stream("?", MODEL, schema=Review)
        assert "".join(answer) == '{"stars": 4}'
        assert answer.result().reply_data() == Review(stars=4)

        async def main() -> LLMMessage:
            return await astream("?", MODEL, schema=Review).result()

        assert asyncio.run(main()).reply_data() == Review(stars=5)


def test_a_running_model_that_does_not_care_is_invalid() -> None:
    with simulated_model(Behavior()) as model:
        talk = chat("?", openai("m", base_url=model.base_url, api="chat_completions", api_key="k"), schema=STARS)
    with pytest.raises(InvalidAnswerError):
        talk.reply_data()
