"""The list of models."""

import json
from pathlib import Path

import pytest

from tidyllm.core.errors import BadAnswerError
from tidyllm.core.model_info import ModelInfo
from tidyllm.core.wire import Request, Response
from tidyllm.dialects.gemini.models import Models
from tidyllm.providers.gemini import gemini
from tidyllm.testing import play
from tidyllm.transport.drive import Transport, drive
from tidyllm.transport.keys import Keys

EXCHANGES = Path(__file__).parents[2] / "exchanges" / "gemini"
SITE = gemini().site


def page(*names: str, then: str | None = None) -> Response:
    body = {"models": [{"name": f"models/{name}"} for name in names], "nextPageToken": then}
    return Response(status=200, body=json.dumps(body).encode())


def test_a_model_is_described() -> None:
    found = drive(Models().models(SITE), Transport(sender=play(EXCHANGES / "list_models.json"), keys=Keys("key")))
    assert found[0] == ModelInfo(
        id="gemini-3.8-flash",
        name="Gemini 3.8 Flash",
        context_tokens=1_048_576,
        output_tokens_max=65_536,
        capabilities=("generateContent", "countTokens", "batchGenerateContent"),
    )
    assert [model.id for model in found] == ["gemini-3.8-flash", "gemini-embedding-001"]


def test_all_pages_are_read() -> None:
    call = Models().models(SITE)
    next(call)
    request = call.send(page("a", "b", then="a/b"))
    assert isinstance(request, Request)
    assert request.url == f"{SITE.base_url}/models?pageSize=1000&pageToken=a%2Fb"
    call.send(page(then="c"))
    with pytest.raises(StopIteration) as end:
        call.send(page("c", then=""))
    assert [model.id for model in end.value.value] == ["a", "b", "c"]


def test_a_list_that_comes_to_no_end_is_an_error() -> None:
    call = Models().models(SITE)
    next(call)
    call.send(page("a", then="again"))
    with pytest.raises(BadAnswerError, match="without an end"):
        call.send(page("a", then="again"))
    short = Models(pages_max=1).models(SITE)
    next(short)
    with pytest.raises(BadAnswerError, match="without an end"):
        short.send(page("a", then="next"))


def test_a_list_of_nothing_is_empty() -> None:
    call = Models().models(SITE)
    next(call)
    with pytest.raises(StopIteration) as end:
        call.send(Response(status=200, body=b'{"models": null}'))
    assert end.value.value == ()
