"""Texts into vectors."""

import json
from array import array
from pathlib import Path

import pytest

from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.params import Params
from tidyllm.core.wire import Lane, Request, Response
from tidyllm.dialects.gemini.embed import EmbedContents
from tidyllm.providers.gemini import gemini
from tidyllm.testing import play
from tidyllm.transport.drive import Transport, drive
from tidyllm.transport.keys import Keys

EXCHANGES = Path(__file__).parents[2] / "exchanges" / "gemini"
SITE = gemini().site


def answered(body: object, *texts: str) -> Embeddings:
    call = EmbedContents().embed(SITE, texts, model="m", params=Params())
    next(call)
    with pytest.raises(StopIteration) as end:
        call.send(Response(status=200, body=json.dumps(body).encode()))
    found: Embeddings = end.value.value
    return found


def test_each_text_has_its_vector() -> None:
    transport = Transport(sender=play(EXCHANGES / "embed_plain.json"), keys=Keys("key"))
    call = EmbedContents().embed(SITE, ["first", "zweiter"], model="gemini-embedding-001", params=Params())
    found = drive(call, transport)
    assert list(array("f", found.vectors)) == [0.5, -0.25, 1.0, 0.125, 0.0, -2.0]
    assert (found.count, found.length) == (2, 3)
    assert (found.model, found.tokens_in) == (None, None)
    assert EmbedContents().inputs_max == 100


def test_extra_fields_are_said_of_each_text() -> None:
    params = Params(extra={"taskType": "CLUSTERING", "outputDimensionality": 2})
    request = next(EmbedContents().embed(SITE, ["a", "b"], model="models/m", params=params))
    assert isinstance(request, Request)
    assert request.url == f"{SITE.base_url}/models/m:batchEmbedContents"
    assert isinstance(request.body, bytes)
    assert json.loads(request.body)["requests"] == [
        {"model": "models/m", "content": {"parts": [{"text": text}]}, **params.extra} for text in ("a", "b")
    ]


@pytest.mark.parametrize("params", [Params(temperature=1), Params(extra={"content": {"parts": []}})])
def test_what_does_not_go_with_vectors_is_refused(params: Params) -> None:
    with pytest.raises(SettingError):
        next(EmbedContents().embed(SITE, ["a"], model="m", params=params))


def test_the_length_of_the_vectors_can_be_asked_for() -> None:
    request = next(EmbedContents().embed(SITE, ["a"], model="m", params=Params(dimensions=256)))
    assert isinstance(request, Request)
    assert isinstance(request.body, bytes)
    assert json.loads(request.body)["requests"][0]["outputDimensionality"] == 256
    assert request.lane == Lane("gemini", "m", SITE.base_url)


def test_tokens_are_told_where_the_api_tells_them() -> None:
    found = answered({"embeddings": [{"values": [1]}], "usageMetadata": {"promptTokenCount": 4}}, "a")
    assert (found.vectors, found.tokens_in) == (b"\x00\x00\x80\x3f", 4)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"embeddings": None},
        {"embeddings": [{"values": [1.0]}]},
        {"embeddings": [{"values": [1.0]}, {"values": None}]},
        {"embeddings": [{"values": [1.0]}, {}]},
        {"embeddings": [{"values": ["1"]}]},
        {"embeddings": [{"values": [1.0]}] * 3},
    ],
)
def test_an_answer_that_has_not_a_vector_for_each_text_is_an_error(body: object) -> None:
    with pytest.raises(BadAnswerError):
        answered(body, "a", "b")
