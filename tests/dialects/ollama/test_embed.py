"""Ollama's embeddings."""

import json

import pytest

from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.params import Params
from tidyllm.core.wire import Request, Response
from tidyllm.dialect import Site
from tidyllm.dialects.ollama.embed import OllamaEmbed

SITE = Site(provider="ollama", base_url="http://127.0.0.1:11434")


def test_nothing_is_cut_off_unless_the_user_says_so() -> None:
    params = Params(dimensions=8, extra={"keep_alive": "1h", "truncate": True})
    request = next(OllamaEmbed().embed(SITE, ["a"], model="m", params=params))
    assert isinstance(request, Request)
    assert isinstance(request.body, bytes)
    said = {"model": "m", "input": ["a"], "truncate": True, "dimensions": 8, "keep_alive": "1h"}
    assert json.loads(request.body) == said


def test_parameters_of_chat_are_refused() -> None:
    with pytest.raises(SettingError, match="embed takes no temperature="):
        next(OllamaEmbed().embed(SITE, ["a"], model="m", params=Params(temperature=0.0)))


@pytest.mark.parametrize("vectors", [[], [[1.0]], [[1.0], [1.0, 2.0]], [[], []]])
def test_vectors_that_do_not_fit_the_texts_are_refused(vectors: object) -> None:
    call = OllamaEmbed().embed(SITE, ["a", "b"], model="m", params=Params())
    next(call)
    with pytest.raises(BadAnswerError, match="unusable vectors"):
        call.send(Response(status=200, body=json.dumps({"embeddings": vectors}).encode()))
