"""The Files API."""

from pathlib import Path

import pytest

from tidyllm.core.auth import Auth
from tidyllm.core.errors import NotFoundError
from tidyllm.core.file import FileInfo
from tidyllm.core.wire import Call, Multipart, Part, Repeat, Request, Response, T
from tidyllm.dialect import Site
from tidyllm.dialects.openai.files import Files

AUTH = Auth(env="OPENAI_API_KEY")
SITE = Site(provider="openai", base_url="https://api.openai.com/v1", auth=AUTH, headers=(("x-a", "b"),))


def played(call: Call[T], response: Response) -> tuple[Request, T]:
    request = next(call)
    assert isinstance(request, Request)
    with pytest.raises(StopIteration) as end:
        call.send(response)
    result: T = end.value.value
    return request, result


def test_a_file_is_sent_from_disk_and_only_once_if_it_may_have_arrived() -> None:
    body = (
        b'{"object":"file","id":"file-1","purpose":"batch","filename":"requests.jsonl","bytes":5120,'
        b'"created_at":1790700000,"expires_at":1793292000,"status":"processed","status_details":null}'
    )
    request, file = played(
        Files().upload(SITE, Path("/jobs/requests.jsonl"), purpose="batch"), Response(status=200, body=body)
    )
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/files")
    assert request.body == Multipart(
        (
            Part(name="purpose", content=b"batch"),
            Part(
                name="file",
                content=Path("/jobs/requests.jsonl"),
                filename="requests.jsonl",
                content_type="application/octet-stream",
            ),
        )
    )
    assert request.repeat is Repeat.IF_NOT_SENT
    assert (request.auth, request.headers) == (AUTH, SITE.headers)
    assert file == FileInfo(id="file-1")


def test_a_file_is_written_to_disk_as_it_comes() -> None:
    request, _ = played(Files().download(SITE, "file-1", sink=Path("/jobs/output.jsonl")), Response(status=200))
    assert (request.method, request.url) == ("GET", "https://api.openai.com/v1/files/file-1/content")
    assert request.sink == Path("/jobs/output.jsonl")
    assert request.repeat is Repeat.ALWAYS


def test_an_id_stays_an_id() -> None:
    request, _ = played(Files().download(SITE, "../batches?x", sink=Path("/jobs/output.jsonl")), Response(status=200))
    assert request.url == "https://api.openai.com/v1/files/..%2Fbatches%3Fx/content"


def test_a_file_that_is_gone_is_an_error() -> None:
    call = Files().download(SITE, "file-1", sink=Path("/jobs/output.jsonl"))
    next(call)
    with pytest.raises(NotFoundError, match="No such File object"):
        call.send(Response(status=404, body=b'{"error": {"message": "No such File object: file-1"}}'))
