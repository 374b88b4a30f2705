"""The Files API."""

from pathlib import Path

import pytest

from tidyllm.core.auth import Auth
from tidyllm.core.errors import ApiError, NotFoundError
from tidyllm.core.file import FileInfo
from tidyllm.core.wire import SLEPT, Call, Multipart, Part, Repeat, Request, Response, Sleep, T
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


def test_a_file_is_looked_at_until_it_is_ready() -> None:
    call = Files(readies=True).upload(SITE, Path("/jobs/requests.jsonl"), purpose="batch")
    next(call)
    assert call.send(Response(status=200, body=b'{"id": "file/1", "status": "Pending"}')) == Sleep(5.0)
    look = call.send(SLEPT)
    assert isinstance(look, Request)
    assert (look.method, look.url, look.auth) == ("GET", "https://api.openai.com/v1/files/file%2F1", AUTH)
    with pytest.raises(StopIteration) as end:
        call.send(Response(status=200, body=b'{"id": "file/1", "status": "processed"}'))
    assert end.value.value == FileInfo(id="file/1")


@pytest.mark.parametrize("status", ['"processed"', '"error"', '"of tomorrow"', "null"])
def test_a_file_that_will_not_get_ready_is_not_waited_for(status: str) -> None:
    call = Files(readies=True).upload(SITE, Path("/jobs/requests.jsonl"), purpose="batch")
    _, file = played(call, Response(status=200, body=f'{{"id": "file-1", "status": {status}}}'.encode()))
    assert file == FileInfo(id="file-1")


def test_a_file_that_never_gets_ready_is_waited_for_half_an_hour() -> None:
    pending = Response(status=200, body=b'{"id": "file-1", "status": "pending"}')
    call = Files(readies=True).upload(SITE, Path("/jobs/requests.jsonl"), purpose="batch")
    slept, file = spent(call, pending)
    assert (slept, file) == (1_800.0, FileInfo(id="file-1"))


def spent(call: Call[T], answer: Response) -> tuple[float, T]:
    """Return how long a call sleeps whose every request has this answer, and its result."""
    slept, wanted = 0.0, next(call)
    try:
        while True:
            slept += wanted.seconds if isinstance(wanted, Sleep) else 0.0
            wanted = call.send(SLEPT if isinstance(wanted, Sleep) else answer)
    except StopIteration as end:
        return slept, end.value


@pytest.mark.parametrize(
    ("place", "url", "is_told"),
    [
        ("https://kept.example/1?signature=a", "https://kept.example/1?signature=a", False),
        ("https://api.openai.com/kept/1", "https://api.openai.com/kept/1", True),
        ("/kept/1", "https://api.openai.com/kept/1", True),
        ("http://api.openai.com/kept/1", "http://api.openai.com/kept/1", False),
    ],
)
def test_content_that_is_kept_elsewhere_is_fetched_without_the_key(place: str, url: str, *, is_told: bool) -> None:
    sink = Path("/jobs/output.jsonl")
    call = Files(points_elsewhere=True).download(SITE, "file-1", sink=sink)
    next(call)
    moved = call.send(Response(status=307, headers={"location": place}))
    assert isinstance(moved, Request)
    assert (moved.url, moved.sink) == (url, sink)
    assert (moved.auth, moved.headers) == ((AUTH, SITE.headers) if is_told else (None, ()))
    with pytest.raises(StopIteration):
        call.send(Response(status=200))


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        (Files(), Response(status=307, headers={"location": "https://kept.example/1"})),
        (Files(points_elsewhere=True), Response(status=307)),
    ],
)
def test_nobody_goes_elsewhere_unasked(files: Files, answer: Response) -> None:
    call = files.download(SITE, "file-1", sink=Path("/jobs/output.jsonl"))
    next(call)
    with pytest.raises(ApiError, match="redirects are not followed"):
        call.send(answer)
