"""Anthropic's list of models."""

import json

import pytest

from tidyllm.core.errors import BadAnswerError
from tidyllm.core.wire import Request, Response
from tidyllm.dialect import Site
from tidyllm.dialects.anthropic.models import Models

SITE = Site(provider="claude", base_url="https://api.anthropic.com/v1")


def page(*names: str, more: bool, created_at: str | None = None) -> Response:
    rows = [{"id": name, "created_at": created_at} for name in names]
    body = {"data": rows, "has_more": more, "last_id": names[-1]}
    return Response(status=200, body=json.dumps(body).encode())


def test_all_pages_are_read() -> None:
    call = Models().models(SITE)
    first = next(call)
    second = call.send(page("a", "b", more=True))
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert first.url == "https://api.anthropic.com/v1/models?limit=1000"
    assert first.headers == (("anthropic-version", "2023-06-01"),)
    assert second.url.endswith("?limit=1000&after_id=b")
    with pytest.raises(StopIteration) as end:
        call.send(page("c", more=False, created_at="some day"))
    assert [(one.id, one.created_at, one.capabilities) for one in end.value.value] == [
        ("a", None, ()),
        ("b", None, ()),
        ("c", None, ()),
    ]


def test_a_list_without_end_is_given_up() -> None:
    call = Models().models(SITE)
    next(call)
    with pytest.raises(BadAnswerError, match="does not end"):  # noqa: PT012 - the pages until it happens
        for _ in range(1_000):
            call.send(page("a", more=True))
