"""The list of models as OpenAI has it, and what others tell besides."""

import json

import pytest

from tidyllm.core.errors import AuthError, BadAnswerError
from tidyllm.core.model_info import ModelInfo
from tidyllm.core.wire import Request, Response
from tidyllm.dialect import Site
from tidyllm.dialects.openai.models import Models

SITE = Site(provider="p", base_url="https://p.example/v1", headers=(("x-a", "b"),), timeout_s=9)


def listed(said: object, *, status: int = 200) -> tuple[ModelInfo, ...]:
    """Return what is made of an answer."""
    call = Models().models(SITE)
    next(call)
    with pytest.raises(StopIteration) as end:
        call.send(Response(status=status, body=json.dumps(said).encode()))
    result: tuple[ModelInfo, ...] = end.value.value
    return result


def told(**fields: object) -> ModelInfo:
    """Return what is made of one row."""
    (model,) = listed({"data": [{"id": "m", **fields}]})
    return model


def test_the_list_is_asked_for_where_it_is() -> None:
    sent = next(Models().models(SITE))
    assert isinstance(sent, Request)
    assert (sent.method, sent.url, sent.headers) == ("GET", "https://p.example/v1/models", (("x-a", "b"),))
    assert sent.timeout_s == 9
    other = next(Models(path="/v2/models").models(SITE))
    assert isinstance(other, Request)
    assert other.url == "https://p.example/v1/v2/models"


def test_models_come_in_the_order_of_the_list_and_aliases_keep_their_rows() -> None:
    rows = [{"id": "b", "aliases": ["a"]}, {"id": "a", "aliases": ["b"]}]
    assert [model.id for model in listed({"data": rows})] == ["b", "a"]
    assert listed({"data": []}) == ()


def test_a_row_may_tell_nothing_but_the_id() -> None:
    assert told() == ModelInfo(id="m")


@pytest.mark.parametrize(
    "fields",
    [
        {"created": None, "owned_by": None, "name": "", "capabilities": None, "architecture": None},
        {"created": "yesterday", "owned_by": 3, "context_length": "long", "capabilities": "all", "deprecation": {}},
        {"created": 0, "max_model_len": True, "top_provider": [], "supported_parameters": [None], "shutdown_date": ""},
        {"created": 1e15, "capabilities": {"vision": False, "chat": "yes"}, "expiration_date": []},
    ],
)
def test_what_is_not_as_documented_is_taken_for_untold(fields: dict[str, object]) -> None:
    assert told(**fields) == ModelInfo(id="m")


def test_the_moment_of_creation_has_two_names() -> None:
    assert told(created=1_700_000_000).created_at == 1_700_000_000
    assert told(created_at=1_700_000_000.5).created_at == 1_700_000_000


@pytest.mark.parametrize("name", ["context_length", "context_window", "max_model_len", "max_context_length"])
def test_the_longest_prompt_has_four_names(name: str) -> None:
    assert told(**{name: 4096}).context_tokens == 4096


def test_the_longest_answer_stands_in_two_places() -> None:
    assert told(max_completion_tokens=512).output_tokens_max == 512
    assert told(top_provider={"max_completion_tokens": 256}).output_tokens_max == 256
    assert told(top_provider={"max_completion_tokens": None}, max_completion_tokens=512).output_tokens_max == 512


def test_what_a_model_can_do_is_told_in_three_ways() -> None:
    assert told(capabilities={"chat": True, "fim": False, "vision": True}).capabilities == ("chat", "vision")
    assert told(capabilities=["chat"]).capabilities == ("chat",)
    both = told(supported_parameters=["tools"], architecture={"input_modalities": ["text"]})
    assert both.capabilities == ("tools",)
    assert told(architecture={"input_modalities": ["text", "image"]}).capabilities == ("text", "image")


@pytest.mark.parametrize(
    "fields",
    [
        {"shutdown_date": "2027-01-14"},
        {"deprecation": "2027-01-14"},
        {"deprecation": {"fine_tune": 1, "inference": "2027-01-14"}},
        {"shutdown_date": None, "expiration_date": "2027-01-14"},
    ],
)
def test_the_end_has_several_names(fields: dict[str, object]) -> None:
    assert told(**fields).ends_at == "2027-01-14"


def test_an_end_in_seconds_stays_in_seconds() -> None:
    assert told(deprecation={"inference": 1_830_297_600}).ends_at == "1830297600"


@pytest.mark.parametrize("said", [{"data": None}, {"data": {"id": "m"}}, {}, [], {"data": [{"name": "m"}]}])
def test_what_is_no_list_of_models_is_a_bad_answer(said: object) -> None:
    with pytest.raises(BadAnswerError, match="p answered with something else"):
        listed(said)


def test_an_error_is_an_error() -> None:
    with pytest.raises(AuthError):
        listed({"error": {"message": "no"}}, status=401)
