"""The Batch API: lists, batches, and the lines of its files."""

import json
from pathlib import Path

import pytest

from tests.dialects.played import played
from tidyllm.core.batch import Batch, BatchStatus, BatchUsage, Problem, RequestCounts
from tidyllm.core.errors import BadAnswerError
from tidyllm.core.reply import Outcome
from tidyllm.core.wire import Repeat, Response
from tidyllm.dialect import BatchOrder, ResultFile, ResultItem, Site
from tidyllm.dialects.openai.batch import Batches

SITE = Site(provider="openai", base_url="https://api.openai.com/v1")
# As the documentation shows a batch right after it was created.
CREATED = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "model": None,
    "errors": None,
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "validating",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": 1_790_705_881,
    "in_progress_at": None,
    "expires_at": 1_790_792_281,
    "finalizing_at": None,
    "completed_at": None,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
    "usage": {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    },
    "metadata": {"run": "a7"},
}
ORDER = BatchOrder(
    name="demo",
    token="a7",  # noqa: S106 - no password
    model="m",
    path="/v1/chat/completions",
    requests=Path("/jobs/requests.jsonl"),
    input_file_id="file-1",
)


def got(**changes: object) -> Batch:
    return played(Batches().get(SITE, "batch_1"), CREATED | changes)[1]


def read(line: object) -> ResultItem:
    return Batches().read_item(json.dumps(line).encode())


def test_a_batch_is_read() -> None:
    assert got() == Batch(
        id="batch_1",
        status=BatchStatus.VALIDATING,
        counts=RequestCounts(),
        created_at=1_790_705_881,
        expires_at=1_790_792_281,
        endpoint="/v1/chat/completions",
        input_file_id="file-1",
        usage=BatchUsage(input_tokens=5, cached_tokens=1, output_tokens=7, reasoning_tokens=2),
        metadata={"run": "a7"},
    )


def test_a_bare_batch_is_read() -> None:
    bare = {"id": "b", "status": "in_progress", "created_at": 1}
    assert played(Batches().get(SITE, "b"), bare)[1] == Batch(
        id="b", status=BatchStatus.IN_PROGRESS, counts=RequestCounts(), created_at=1
    )


def test_empty_ids_and_null_counts_are_none() -> None:
    batch = got(
        output_file_id="",
        error_file_id="",
        model="",
        metadata=None,
        usage={"input_tokens": None},
        request_counts={"total": None},
        errors={"object": "list", "data": None},
    )
    assert (batch.output_file_id, batch.error_file_id, batch.model) == (None, None, None)
    assert (batch.counts, batch.usage, batch.metadata) == (RequestCounts(), BatchUsage(), {})
    assert batch.problems == ()
    assert got(request_counts=None, usage=None).usage is None


def test_problems_are_read() -> None:
    data = [{"code": "invalid_url", "message": "Wrong.", "param": "url", "line": 2}, {"code": None, "message": None}]
    assert got(status="failed", errors={"object": "list", "data": data}).problems == (
        Problem(code="invalid_url", message="Wrong.", param="url", line=2),
        Problem(code="", message=""),
    )


def test_a_status_of_tomorrow_is_kept_and_is_no_end() -> None:
    batch = got(status="archived")
    assert (batch.status, batch.status_word, batch.status.ended) == (BatchStatus.IN_PROGRESS, "archived", False)
    assert got(status="cancelling").status_word is None


def test_what_is_no_batch_is_an_error() -> None:
    call = Batches().get(SITE, "batch_1")
    next(call)
    with pytest.raises(BadAnswerError):
        call.send(Response(status=200, body=b'{"object": "batch"}'))


def test_a_page_says_what_to_ask_the_next_one_with() -> None:
    answer = {"object": "list", "data": [CREATED, CREATED | {"id": "batch_0"}], "has_more": True}
    request, page = played(Batches().page(SITE, limit=2, after="batch_2"), answer)
    assert request.url == "https://api.openai.com/v1/batches?limit=2&after=batch_2"
    assert [batch.id for batch in page.batches] == ["batch_1", "batch_0"]
    assert page.after == "batch_0"


@pytest.mark.parametrize(
    "end", [{"data": [CREATED], "has_more": False}, {"data": [CREATED]}, {"data": [], "has_more": True}]
)
def test_the_last_page_says_so(end: dict[str, object]) -> None:
    request, page = played(Batches().page(SITE, limit=20), end)
    assert request.url == "https://api.openai.com/v1/batches?limit=20"
    assert page.after is None


def test_a_batch_is_created_once_and_never_again() -> None:
    request, batch = played(Batches().create(SITE, ORDER), CREATED)
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/batches")
    assert request.repeat is Repeat.NEVER
    assert request.headers == (("content-type", "application/json"),)
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == {
        "input_file_id": "file-1",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"tidyllm_job": "demo", "tidyllm_token": "a7"},
    }
    assert batch.id == "batch_1"


def test_a_batch_is_asked_to_stop() -> None:
    request, batch = played(Batches().cancel(SITE, "a/b"), CREATED | {"status": "cancelling"})
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/batches/a%2Fb/cancel")
    assert (request.body, request.headers) == (None, ())
    assert batch.status is BatchStatus.CANCELLING


def test_a_line_is_what_the_api_wants() -> None:
    line = Batches().line("row-1", path="/v1/chat/completions", body={"model": "m", "x": "ü\n"}, inline=False)
    assert b"\n" not in line
    assert json.loads(line) == {
        "custom_id": "row-1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "x": "ü\n"},
    }


def test_requests_are_uploaded_and_never_in_the_body() -> None:
    assert (Batches().uploads, Batches().inline_bytes_max, Batches().keeps_notes) == (True, 0, True)
    with pytest.raises(TypeError, match="demo are uploaded"):
        Batches().framing(ORDER)


def test_both_files_are_results_and_are_written_to_disk() -> None:
    assert Batches().result_files(got()) == ()
    batch = got(output_file_id="file-2", error_file_id="file-3")
    files = Batches().result_files(batch)
    assert files == (ResultFile(name="output.jsonl", id="file-2"), ResultFile(name="error.jsonl", id="file-3"))
    sink = Path("/jobs/output.jsonl")
    request, _ = played(Batches().download(SITE, batch, file=files[0], sink=sink), None)
    assert (request.url, request.sink) == ("https://api.openai.com/v1/files/file-2/content", sink)


def test_a_document_would_have_a_result_a_line() -> None:
    assert list(Batches().items(b'{"custom_id": "a"}\n{"custom_id": "b"}\n')) == [
        b'{"custom_id": "a"}',
        b'{"custom_id": "b"}',
    ]


def test_a_success_is_passed_on_as_it_came() -> None:
    response = {"status_code": 200, "request_id": "req_1", "body": {"text": "A"}}
    assert read({"id": "x", "custom_id": "r", "response": response, "error": None}) == ResultItem(
        custom_id="r", body=b'{"text": "A"}', request_id="req_1"
    )


def test_a_success_is_one_whatever_else_is_odd_about_it() -> None:
    line = {"custom_id": "r", "response": {"status_code": "200", "request_id": 7, "body": {}}, "error": {}}
    assert read(line) == ResultItem(custom_id="r", body=b"{}", request_id="7")


@pytest.mark.parametrize("body", [None, "text", [], 7])
def test_a_success_without_an_answer_is_invalid(body: object) -> None:
    item = read({"custom_id": "r", "response": {"status_code": 200, "request_id": "", "body": body}})
    assert (item.outcome, item.body, item.request_id) == (Outcome.INVALID, None, None)
    assert item.error == "It is said to have succeeded, but there is no answer."


@pytest.mark.parametrize(
    ("line", "outcome", "error"),
    [
        (
            {"response": {"status_code": 400, "body": {"error": {"message": "Bad", "code": "x"}}}, "error": None},
            Outcome.FAILED,
            "400: Bad",
        ),
        (
            {"response": {"status_code": 0, "request_id": "", "body": {}}, "error": None},
            Outcome.FAILED,
            "0: The provider kept neither an answer nor an error.",
        ),
        (
            {"response": None, "error": {"code": "batch_expired", "message": "Too late."}},
            Outcome.EXPIRED,
            "Too late.",
        ),
        (
            {"response": None, "error": {"code": "batch_cancelled", "message": None}},
            Outcome.CANCELLED,
            "batch_cancelled",
        ),
        (
            {"response": None, "error": {"code": "server_error", "message": "Oops"}},
            Outcome.FAILED,
            "Oops",
        ),
        ({"response": None, "error": "Oops"}, Outcome.FAILED, "Oops"),
        ({}, Outcome.FAILED, "The provider kept neither an answer nor an error."),
        ({"response": {"status_code": 500}, "error": {"message": "Oops"}}, Outcome.FAILED, "500: Oops"),
        ({"response": {"status_code": None}}, Outcome.FAILED, "The provider kept"),
        ({"response": {"status_code": "?", "body": "Oops"}, "error": ""}, Outcome.FAILED, "?: Oops"),
        ({"response": {"status_code": "429"}, "error": 7}, Outcome.FAILED, "429: 7"),
        ({"response": None, "error": {"code": 500, "message": {"a": 1}}}, Outcome.FAILED, '{"a":1}'),
    ],
)
def test_a_failure_is_read_whichever_way_it_is_told(line: dict[str, object], outcome: Outcome, error: str) -> None:
    item = read({"id": "x", "custom_id": "r"} | line)
    assert (item.custom_id, item.outcome, item.body) == ("r", outcome, None)
    assert item.error is not None
    assert item.error.startswith(error)


def test_an_error_that_is_no_text_is_shown_as_it_came() -> None:
    item = Batches().read_item(b'{"custom_id": "r", "error": "\xff"}')
    assert (item.outcome, item.error) == (Outcome.FAILED, '"\ufffd"')


def test_a_line_that_is_odd_but_names_its_request_is_invalid() -> None:
    item = read({"custom_id": "r", "response": "?"})
    assert (item.custom_id, item.outcome) == ("r", Outcome.INVALID)


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"\xff", b"{}", b'{"custom_id": 1}', b'{"custom_id": "r", "a": ' + b"[" * 100_000],
    ids=lambda line: repr(line[:30]),
)
def test_a_line_that_names_no_request_is_an_error_that_keeps_it(line: bytes) -> None:
    with pytest.raises(BadAnswerError) as caught:
        Batches().read_item(line)
    assert caught.value.body == line
