"""Embeddings as OpenAI has them, request by request."""

import base64
import json

import pytest

from tidyllm.core.auth import Auth
from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import BadAnswerError, RateLimitError, SettingError
from tidyllm.core.params import Params
from tidyllm.core.rules import Family, refused
from tidyllm.core.wire import MIB, Request, Response
from tidyllm.dialect import Site
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.dialects.vectors import packed

SITE = Site(provider="p", base_url="https://p.example/v1", auth=Auth(env="P_KEY"), headers=(("x-a", "b"),), timeout_s=9)
NONE = Params()
ONE = {"embedding": [1.0, 2.0], "index": 0}
TWO = {"embedding": [3.0, 4.0], "index": 1}


def request(api: EmbeddingsApi, params: Params = NONE, *, model: str = "m") -> Request:
    """Return what is sent for two texts."""
    wanted = next(api.embed(SITE, ["a", "b"], model=model, params=params))
    assert isinstance(wanted, Request)
    return wanted


def body(api: EmbeddingsApi, params: Params = NONE, *, model: str = "m") -> dict[str, object]:
    sent = request(api, params, model=model).body
    assert isinstance(sent, bytes)
    said: dict[str, object] = json.loads(sent)
    return said


def answered(said: object, *, api: EmbeddingsApi | None = None, status: int = 200) -> Embeddings:
    """Return what is made of an answer for two texts."""
    call = (api or EmbeddingsApi()).embed(SITE, ["a", "b"], model="m", params=NONE)
    next(call)
    with pytest.raises(StopIteration) as end:
        call.send(Response(status=status, body=json.dumps(said).encode()))
    result: Embeddings = end.value.value
    return result


def test_a_request_says_where_it_goes_and_how_it_is_signed() -> None:
    sent = request(EmbeddingsApi())
    assert (sent.method, sent.url) == ("POST", "https://p.example/v1/embeddings")
    assert sent.headers == (("x-a", "b"), ("content-type", "application/json"))
    assert (sent.auth, sent.timeout_s) == (SITE.auth, 9)
    assert sent.body_bytes_max > 64 * MIB
    assert request(EmbeddingsApi(path="/other")).url == "https://p.example/v1/other"


def test_a_body_asks_for_the_texts_and_how_the_vectors_are_to_be_written() -> None:
    assert body(EmbeddingsApi()) == {"model": "m", "input": ["a", "b"], "encoding_format": "base64"}
    assert body(EmbeddingsApi(encoding="float"))["encoding_format"] == "float"


def test_the_length_of_the_vectors_is_said_as_the_provider_calls_it() -> None:
    assert body(EmbeddingsApi(), Params(dimensions=64))["dimensions"] == 64
    assert body(EmbeddingsApi(dimensions_field="output_dimension"), Params(dimensions=64))["output_dimension"] == 64
    with pytest.raises(SettingError, match=r"m takes no dimensions=.*length that the model gives"):
        body(EmbeddingsApi(dimensions_field=None), Params(dimensions=64))
    with pytest.raises(SettingError, match="from 1, not 0"):
        body(EmbeddingsApi(), Params(dimensions=0))


def test_models_may_differ() -> None:
    api = EmbeddingsApi(
        families=(
            Family(models=("*",), sends={"truncation": False}),
            Family(models=("old*",), rules=refused("dimensions", why="They have 9 numbers.")),
        )
    )
    assert body(api)["truncation"] is False
    assert body(api, Params(extra={"truncation": True}))["truncation"] is True
    with pytest.raises(SettingError, match="9 numbers"):
        body(api, Params(dimensions=3), model="old-1")
    with pytest.raises(SettingError, match="9 numbers"):
        body(api, Params(dimensions=3, model_family="old-1"), model="deployment")


def test_extra_fields_pass_but_may_not_repeat_what_is_said() -> None:
    api = EmbeddingsApi(fixed={"output_dtype": "float"})
    assert body(api, Params(extra={"input_type": "query"}))["input_type"] == "query"
    for name in ("encoding_format", "input", "output_dtype"):
        with pytest.raises(SettingError, match=f"already says: {name}"):
            body(api, Params(extra={name: "int8"}))


@pytest.mark.parametrize(
    ("params", "name"),
    [(Params(temperature=0.0), "temperature"), (Params(thoughts=False), "thoughts"), (Params(stop=("a",)), "stop")],
)
def test_what_is_for_answers_alone_is_refused(params: Params, name: str) -> None:
    with pytest.raises(SettingError, match=f"embed takes no {name}="):
        body(EmbeddingsApi(), params)


def test_vectors_come_in_the_order_of_the_texts() -> None:
    said = answered({"data": [TWO, ONE], "model": "m-2", "usage": {"prompt_tokens": 3, "total_tokens": 4}})
    assert said == Embeddings(vectors=packed([1, 2, 3, 4]), count=2, model="m-2", tokens_in=3)


def test_what_an_answer_does_not_tell_is_null() -> None:
    bare = [{"embedding": [1.0, 2.0], "index": None}, {"embedding": [3.0, 4.0]}]
    said = answered({"data": bare, "model": "", "usage": None})
    assert said == Embeddings(vectors=packed([1, 2, 3, 4]), count=2)
    assert answered({"data": bare, "usage": {"total_tokens": 5}}).tokens_in == 5


def test_vectors_are_read_as_they_are_written() -> None:
    floats = [base64.b64encode(packed(values)).decode() for values in ([1, 2], [3, 4])]
    whole = [base64.b64encode(bytes(values)).decode() for values in ([1, 2], [3, 252])]
    assert answered({"data": [{"embedding": one} for one in floats]}).vectors == packed([1, 2, 3, 4])
    int8 = EmbeddingsApi(encoding="base64_int8")
    assert answered({"data": [{"embedding": one} for one in whole]}, api=int8).vectors[8:] == packed([3, -4])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ([ONE], "there are 1 for 2 texts"),
        ([ONE, ONE], "which text"),
        ([ONE, TWO | {"index": 2}], "which text"),
        ([ONE, TWO | {"embedding": [3.0]}], "one length"),
        ([ONE | {"embedding": []}, TWO | {"embedding": []}], "empty"),
        ([ONE, TWO | {"embedding": "AAA"}], "unusable vectors"),
        ([ONE, TWO | {"embedding": "AAAA"}], "3 bytes"),
        ([ONE, TWO | {"embedding": None}], "something else"),
        (None, "something else"),
    ],
)
def test_vectors_that_do_not_fit_the_texts_are_a_bad_answer(data: object, why: str) -> None:
    with pytest.raises(BadAnswerError, match=why) as caught:
        answered({"data": data})
    assert caught.value.body.startswith(b'{"data"')


def test_an_error_is_an_error() -> None:
    with pytest.raises(RateLimitError):
        answered({"error": {"message": "slow down"}}, status=429)
