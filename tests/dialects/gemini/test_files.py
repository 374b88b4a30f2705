"""A resumable upload, and the download of what was generated; spec/gemini 8."""

import json
from pathlib import Path

import pytest

from tidyllm.core.auth import Auth
from tidyllm.core.errors import BadAnswerError, NotFoundError
from tidyllm.core.file import FileInfo
from tidyllm.core.wire import Repeat, Request, Response
from tidyllm.dialect import Site
from tidyllm.dialects.gemini.files import Files

AUTH = Auth(env="GOOGLE_API_KEY", header="x-goog-api-key", prefix="")
HOST = "https://generativelanguage.googleapis.com"
SITE = Site(provider="gemini", base_url=f"{HOST}/v1beta", auth=AUTH, headers=(("x-a", "b"),))


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "requests.jsonl"
    file.write_bytes(b'{"key":"row-1"}')
    return file


@pytest.mark.parametrize(
    ("host", "headers"), [(HOST, SITE.headers), ("https://elsewhere.googleapis.com", ())], ids=["same", "other"]
)
def test_a_file_is_announced_and_then_sent_from_disk(
    lines: Path, host: str, headers: tuple[tuple[str, str], ...]
) -> None:
    call = Files().upload(SITE, lines, purpose="batch")
    start = next(call)
    assert isinstance(start, Request)
    assert (start.method, start.url, start.auth) == ("POST", f"{HOST}/upload/v1beta/files", AUTH)
    assert start.headers == (
        ("x-a", "b"),
        ("content-type", "application/json"),
        ("x-goog-upload-protocol", "resumable"),
        ("x-goog-upload-command", "start"),
        ("x-goog-upload-header-content-length", "15"),
        ("x-goog-upload-header-content-type", "application/jsonl"),
    )
    assert isinstance(start.body, bytes)
    assert json.loads(start.body) == {"file": {"displayName": "requests.jsonl"}}
    url = f"{host}/upload/v1beta/files?upload_id=1"
    sent = call.send(Response(status=200, headers={"x-goog-upload-url": url}))
    assert isinstance(sent, Request)
    # The key goes to no address that is the API's choice, nor do the user's own headers, unless the host is his.
    assert (sent.method, sent.url, sent.auth) == ("POST", url, None)
    assert sent.headers == (
        *headers,
        ("content-type", "application/jsonl"),
        ("x-goog-upload-offset", "0"),
        ("x-goog-upload-command", "upload, finalize"),
    )
    assert (sent.body, sent.repeat) == (lines, Repeat.IF_NOT_SENT)
    with pytest.raises(StopIteration) as end:
        call.send(Response(status=200, body=b'{"file": {"name": "files/abc", "sizeBytes": "15", "state": "ACTIVE"}}'))
    assert end.value.value == FileInfo(id="files/abc")


def test_an_upload_that_is_given_no_address_is_an_error(lines: Path) -> None:
    for headers in ({}, {"x-goog-upload-url": "/relative"}):
        call = Files().upload(SITE, lines, purpose="batch")
        next(call)
        with pytest.raises(BadAnswerError, match=r"where requests\.jsonl is to be sent"):
            call.send(Response(status=200, headers=headers))


@pytest.mark.parametrize("body", [b"{}", b'{"file": null}', b'{"file": {}}'])
def test_a_file_that_was_taken_without_a_name_is_an_error(lines: Path, body: bytes) -> None:
    call = Files().upload(SITE, lines, purpose="batch")
    next(call)
    call.send(Response(status=200, headers={"x-goog-upload-url": f"{HOST}/upload"}))
    with pytest.raises(BadAnswerError):
        call.send(Response(status=200, body=body))


def test_a_generated_file_is_written_to_disk_as_it_comes() -> None:
    sink = Path("/jobs/output.jsonl")
    request = next(Files().download(SITE, "files/batch-a/b", sink=sink))
    assert isinstance(request, Request)
    assert request.url == f"{HOST}/download/v1beta/files/batch-a%2Fb:download?alt=media"
    assert (request.method, request.sink, request.auth, request.headers) == ("GET", sink, AUTH, SITE.headers)


def test_a_file_that_is_gone_is_an_error() -> None:
    call = Files().download(SITE, "files/batch-a", sink=Path("/jobs/output.jsonl"))
    next(call)
    with pytest.raises(NotFoundError):
        call.send(Response(status=404))
