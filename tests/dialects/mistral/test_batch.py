"""Mistral's batch jobs."""

import json
from pathlib import Path

import pytest

from tests.dialects.played import played
from tidyllm.core.batch import Batch, BatchStatus, Problem, RequestCounts
from tidyllm.core.errors import BadAnswerError, BadRequestError
from tidyllm.core.reply import Outcome
from tidyllm.core.wire import Repeat, Response
from tidyllm.dialect import BatchOrder, BatchPage, ResultFile, ResultItem, Site
from tidyllm.dialects.mistral.batch import Batches

SITE = Site(provider="mistral", base_url="https://api.mistral.ai/v1")
URL = "https://api.mistral.ai/v1/batch/jobs"
# As the types of Mistral's own library have it.
JOB = {
    "id": "1f0b",
    "object": "batch",
    "input_files": ["f-1"],
    "endpoint": "/v1/chat/completions",
    "model": "mistral-small-latest",
    "agent_id": None,
    "metadata": {"tidyllm_token": "a7", "n": 1},
    "output_file": "f-2",
    "error_file": "",
    "errors": [],
    "outputs": None,
    "status": "SUCCESS",
    "created_at": 1_790_705_881,
    "started_at": 1_790_705_890,
    "completed_at": 1_790_706_000,
    "total_requests": 3,
    "completed_requests": 3,
    "succeeded_requests": 2,
    "failed_requests": 1,
}
ORDER = BatchOrder(
    name="demo",
    token="a7",  # noqa: S106 - the name of a batch, no secret
    model="mistral-small-latest",
    path="/v1/chat/completions",
    requests=Path("/jobs/requests.jsonl"),
    input_file_id="f-1",
)


def got(**changes: object) -> Batch:
    return played(Batches().get(SITE, "1f0b"), JOB | changes)[1]


def paged(limit: int, after: str | None, *, answer: dict[str, object]) -> tuple[str, BatchPage]:
    request, page = played(Batches().page(SITE, limit=limit, after=after), answer)
    return request.url.removeprefix(f"{URL}?"), page


def test_a_job_is_read() -> None:
    request, batch = played(Batches().get(SITE, "a/b"), JOB)
    assert (request.method, request.url) == ("GET", f"{URL}/a%2Fb")
    assert batch == Batch(
        id="1f0b",
        status=BatchStatus.COMPLETED,
        counts=RequestCounts(total=3, completed=2, failed=1),
        created_at=1_790_705_881,
        in_progress_at=1_790_705_890,
        completed_at=1_790_706_000,
        endpoint="/v1/chat/completions",
        model="mistral-small-latest",
        input_file_id="f-1",
        output_file_id="f-2",
        metadata={"tidyllm_token": "a7", "n": "1"},
    )


def test_a_bare_job_is_read() -> None:
    bare = {"id": "j", "status": "QUEUED", "created_at": 1}
    assert played(Batches().get(SITE, "j"), bare)[1] == Batch(
        id="j", status=BatchStatus.VALIDATING, counts=RequestCounts(), created_at=1
    )


@pytest.mark.parametrize(
    ("word", "status", "ended"),
    [
        ("QUEUED", BatchStatus.VALIDATING, None),
        ("RUNNING", BatchStatus.IN_PROGRESS, None),
        ("FAILED", BatchStatus.FAILED, "failed_at"),
        ("TIMEOUT_EXCEEDED", BatchStatus.EXPIRED, "expired_at"),
        ("CANCELLATION_REQUESTED", BatchStatus.CANCELLING, None),
        ("CANCELLED", BatchStatus.CANCELLED, "cancelled_at"),
    ],
)
def test_each_word_has_its_status_and_each_end_its_moment(word: str, status: BatchStatus, ended: str | None) -> None:
    batch = got(status=word)
    assert (batch.status, batch.status_word, batch.completed_at) == (status, None, None)
    assert ended is None or getattr(batch, ended) == 1_790_706_000


def test_a_word_of_tomorrow_is_kept() -> None:
    assert got(status="PAUSED").status_word == "PAUSED"


def test_problems_are_read() -> None:
    assert got(status="FAILED", errors=[{"message": "Wrong.", "count": 3}]).problems == (
        Problem(code="", message="Wrong."),
    )


def test_pages_are_counted_from_what_came_before() -> None:
    twenty = {"object": "list", "data": [JOB] * 20, "total": 130}
    query, page = paged(20, None, answer=twenty)
    assert (query, page.after, len(page.batches)) == ("page=0&page_size=20&order_by=-created", "20", 20)
    # A longer page cannot begin after 20, so this one is no longer than the first was.
    query, page = paged(100, "20", answer=twenty)
    assert (query, page.after) == ("page=1&page_size=20&order_by=-created", "40")
    assert paged(100, "80", answer=twenty)[0] == "page=1&page_size=80&order_by=-created"
    assert paged(7, "20", answer=twenty)[0] == "page=4&page_size=5&order_by=-created"
    assert paged(100, "100", answer={"data": [JOB] * 30, "total": 130})[1].after is None


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        ({"data": [], "total": 130}, None),
        ({"data": [JOB] * 2}, "2"),
        ({"data": [JOB]}, None),
        ({"total": 0}, None),
    ],
)
def test_the_last_page_says_so(answer: dict[str, object], after: str | None) -> None:
    assert paged(2, None, answer=answer)[1].after == after


def test_a_batch_is_created_once_and_never_again() -> None:
    request, batch = played(Batches().create(SITE, ORDER), JOB)
    assert (request.method, request.url, request.repeat) == ("POST", URL, Repeat.NEVER)
    assert request.headers == (("content-type", "application/json"),)
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == {
        "endpoint": "/v1/chat/completions",
        "model": "mistral-small-latest",
        "input_files": ["f-1"],
        "timeout_hours": 24,
        "metadata": {"tidyllm_job": "demo", "tidyllm_token": "a7"},
    }
    assert batch.id == "1f0b"


def test_a_batch_is_asked_to_stop_and_forgotten() -> None:
    request, batch = played(Batches().cancel(SITE, "a/b"), JOB | {"status": "CANCELLATION_REQUESTED"})
    assert (request.method, request.url, request.body) == ("POST", f"{URL}/a%2Fb/cancel", None)
    assert batch.status is BatchStatus.CANCELLING
    request, _ = played(Batches().delete(SITE, "a/b"), {"id": "a/b", "deleted": True})
    assert (request.method, request.url) == ("DELETE", f"{URL}/a%2Fb")


def test_a_line_has_no_address() -> None:
    line = Batches().line("row-1", path="/v1/chat/completions", body={"model": "m"}, inline=False)
    assert json.loads(line) == {"custom_id": "row-1", "body": {"model": "m"}}
    with pytest.raises(TypeError, match="uploaded"):
        Batches().framing(ORDER)


def test_both_files_are_results() -> None:
    files = Batches().result_files(got(error_file="f-3"))
    assert files == (ResultFile(name="output.jsonl", id="f-2"), ResultFile(name="error.jsonl", id="f-3"))
    assert len(Batches().result_files(got())) == 1
    request, _ = played(Batches().download(SITE, got(), file=files[0], sink=Path("/jobs/o.jsonl")), None)
    assert (request.url, request.sink) == ("https://api.mistral.ai/v1/files/f-2/content", Path("/jobs/o.jsonl"))
    assert list(Batches().items(b"{}\n{}\n")) == [b"{}", b"{}"]


def test_results_are_read() -> None:
    answered = {"id": "b", "custom_id": "0", "response": {"status_code": 200, "body": {"id": "x"}}, "error": None}
    assert Batches().read_item(json.dumps(answered).encode()) == ResultItem(custom_id="0", body=b'{"id": "x"}')
    wrong = {"custom_id": "1", "response": {"status_code": 422, "body": {"detail": [{"msg": "Wrong."}]}}}
    item = Batches().read_item(json.dumps(wrong).encode())
    assert (item.outcome, item.error) == (Outcome.FAILED, '422: [{"msg":"Wrong."}]')
    with pytest.raises(BadAnswerError):
        Batches().read_item(b'{"custom_id": null}')


def test_a_refusal_is_an_error() -> None:
    call = Batches().create(SITE, ORDER)
    next(call)
    with pytest.raises(BadRequestError, match="Wrong model"):
        call.send(Response(status=422, body=b'{"object": "error", "message": "Wrong model", "code": "1500"}'))
