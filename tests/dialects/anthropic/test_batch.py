"""Message Batches: lists, batches, and the lines of their results; the shapes are those of spec/anthropic 9."""

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from tests.dialects.played import played
from tidyllm.core.batch import Batch, BatchStatus, RequestCounts
from tidyllm.core.errors import BadAnswerError, NotFoundError
from tidyllm.core.reply import Outcome
from tidyllm.core.wire import Repeat, Response
from tidyllm.dialect import BatchOrder, Framing, ResultFile, ResultItem, Site
from tidyllm.dialects.anthropic.batch import MessageBatches
from tidyllm.providers.claude import claude

SITE = Site(provider="claude", base_url="https://api.anthropic.com/v1", headers=(("anthropic-beta", "output-300k"),))
BATCHES = MessageBatches()
VERSION = ("anthropic-version", "2023-06-01")
COUNTS = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
CREATED = {
    "id": "msgbatch_1",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": COUNTS | {"processing": 7},
    "created_at": "2026-01-01T00:00:00.123456789+00:00",
    "expires_at": "2026-01-02T00:00:00Z",
    "ended_at": None,
    "cancel_initiated_at": None,
    "archived_at": None,
    "results_url": None,
}
ENDED = {"processing_status": "ended", "ended_at": "2026-01-01T01:00:00Z"}
CANCELLED = ENDED | {"cancel_initiated_at": "2026-01-01T00:30:00Z"}
BORN = 1_767_225_600
ORDER = BatchOrder(name="demo", token="t", model="m", path="/v1/messages", requests=Path("/jobs/requests.json"))  # noqa: S106 - no password


def got(*changes: Mapping[str, object], **counts: int) -> Batch:
    said: dict[str, object] = {**CREATED}
    for change in changes:
        said |= change
    return played(BATCHES.get(SITE, "msgbatch_1"), said | ({"request_counts": COUNTS | counts} if counts else {}))[1]


def read(result: object) -> ResultItem:
    return BATCHES.read_item(json.dumps({"custom_id": "a-1", "result": result}).encode())


def test_a_batch_is_read_and_all_its_requests_are_counted_while_it_runs() -> None:
    assert got() == Batch(
        id="msgbatch_1",
        status=BatchStatus.IN_PROGRESS,
        counts=RequestCounts(total=7),
        created_at=BORN,
        expires_at=BORN + 86_400,
        endpoint="/v1/messages",
    )


def test_a_batch_that_has_ended_says_how_by_its_requests() -> None:
    ended = got(ENDED, succeeded=4, errored=1, expired=2)
    assert (ended.status, ended.completed_at) == (BatchStatus.COMPLETED, BORN + 3600)
    assert ended.counts == RequestCounts(total=7, completed=4, failed=1)
    expired = got(ENDED, errored=1, expired=2)
    assert (expired.status, expired.expired_at, expired.completed_at) == (BatchStatus.EXPIRED, BORN + 3600, None)
    cancelled = got(CANCELLED, succeeded=4, canceled=3)
    assert (cancelled.status, cancelled.cancelled_at) == (BatchStatus.CANCELLED, BORN + 3600)
    assert cancelled.cancelling_at == BORN + 1800
    # It was asked to stop when all was done.
    assert got(CANCELLED, succeeded=7).status is BatchStatus.COMPLETED
    assert got(ENDED, errored=7).status is BatchStatus.COMPLETED


def test_a_batch_that_is_stopping_has_not_ended() -> None:
    batch = got({"processing_status": "canceling"})
    assert (batch.status, batch.status_word, batch.status.ended) == (BatchStatus.CANCELLING, None, False)


def test_a_status_of_tomorrow_is_kept_and_is_no_end() -> None:
    batch = got({"processing_status": "paused"})
    assert (batch.status, batch.status_word) == (BatchStatus.IN_PROGRESS, "paused")


def test_odd_times_are_none_and_odd_counts_are_zeros() -> None:
    batch = got({"expires_at": "soon", "request_counts": {"processing": None}})
    assert (batch.expires_at, batch.counts) == (None, RequestCounts())


@pytest.mark.parametrize("absent", ["id", "request_counts", "created_at"])
def test_what_a_batch_is_known_by_must_be_told(absent: str) -> None:
    call = BATCHES.get(SITE, "msgbatch_1")
    next(call)
    with pytest.raises(BadAnswerError):
        call.send(Response(status=200, body=json.dumps(CREATED | {absent: None}).encode()))


def test_a_page_says_what_to_ask_the_next_one_with() -> None:
    answer = {"data": [CREATED, CREATED | {"id": "msgbatch_0"}], "has_more": True, "last_id": "msgbatch_0"}
    request, page = played(BATCHES.page(SITE, limit=2, after="msgbatch_2"), answer)
    assert (request.method, request.url) == ("GET", f"{SITE.base_url}/messages/batches?limit=2&after_id=msgbatch_2")
    assert request.headers == (*SITE.headers, VERSION)
    assert [batch.id for batch in page.batches] == ["msgbatch_1", "msgbatch_0"]
    assert page.after == "msgbatch_0"


@pytest.mark.parametrize(
    "end", [{"data": [CREATED], "has_more": False}, {"data": [CREATED]}, {"data": [], "has_more": True}]
)
def test_the_last_page_says_so(end: dict[str, object]) -> None:
    request, page = played(BATCHES.page(SITE, limit=20), end)
    assert request.url == f"{SITE.base_url}/messages/batches?limit=20"
    assert page.after is None


def test_a_batch_is_created_once_and_never_again_with_its_requests_in_the_body() -> None:
    request, batch = played(BATCHES.create(SITE, ORDER), CREATED)
    assert (request.method, request.url) == ("POST", f"{SITE.base_url}/messages/batches")
    assert (request.body, request.repeat) == (ORDER.requests, Repeat.NEVER)
    assert request.headers == (*SITE.headers, VERSION, ("content-type", "application/json"))
    assert batch.id == "msgbatch_1"
    assert (BATCHES.uploads, BATCHES.keeps_notes) == (False, False)


def test_the_body_is_a_list_of_requests() -> None:
    framing = BATCHES.framing(ORDER)
    assert framing == Framing(b'{"requests":[\n', b"\n]}")
    lines = [BATCHES.line(name, path="/v1/messages", body={"model": "m"}, inline=True) for name in ("a-1", "a-2")]
    assert json.loads(framing.head + framing.between.join(lines) + framing.tail) == {
        "requests": [
            {"custom_id": "a-1", "params": {"model": "m"}},
            {"custom_id": "a-2", "params": {"model": "m"}},
        ]
    }


def test_a_batch_is_asked_to_stop() -> None:
    request, batch = played(BATCHES.cancel(SITE, "a/b"), CREATED | {"processing_status": "canceling"})
    assert (request.method, request.url) == ("POST", f"{SITE.base_url}/messages/batches/a%2Fb/cancel")
    assert (request.body, request.headers) == (None, (*SITE.headers, VERSION))
    assert batch.status is BatchStatus.CANCELLING


def test_a_batch_is_deleted() -> None:
    deleted = {"id": "msgbatch_1", "type": "message_batch_deleted"}
    request, _ = played(BATCHES.delete(SITE, "msgbatch_1"), deleted)
    assert (request.method, request.url) == ("DELETE", f"{SITE.base_url}/messages/batches/msgbatch_1")
    call = BATCHES.delete(SITE, "msgbatch_1")
    next(call)
    with pytest.raises(NotFoundError):
        call.send(Response(status=404))


def test_results_are_there_when_a_batch_has_ended() -> None:
    assert BATCHES.result_files(got()) == ()
    batch = got(CANCELLED, canceled=7)
    (file,) = BATCHES.result_files(batch)
    assert file == ResultFile(name="results.jsonl", id="msgbatch_1")
    sink = Path("/jobs/results.jsonl")
    request, _ = played(BATCHES.download(SITE, batch, file=file, sink=sink), None)
    assert request.url == f"{SITE.base_url}/messages/batches/msgbatch_1/results"
    assert (request.sink, request.headers) == (sink, (*SITE.headers, VERSION))
    assert list(BATCHES.items(b"1\n2\n")) == [b"1", b"2"]


def test_a_success_is_a_message_as_the_live_api_gives_it() -> None:
    message = {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    item = read({"type": "succeeded", "message": message})
    assert item == ResultItem(custom_id="a-1", body=json.dumps(message).encode())
    assert claude.chat is not None
    assert item.body is not None
    assert claude.chat.read(item.body).text == "Hi"


@pytest.mark.parametrize("message", [None, "text", []])
def test_a_success_without_a_message_is_invalid(message: object) -> None:
    item = read({"type": "succeeded", "message": message})
    assert (item.outcome, item.body) == (Outcome.INVALID, None)
    assert item.error


@pytest.mark.parametrize(
    ("result", "outcome", "error", "request_id"),
    [
        (
            {
                "type": "errored",
                "error": {
                    "type": "error",
                    "error": {"type": "invalid_request_error", "message": "max_tokens: too large"},
                    "request_id": "req_1",
                },
            },
            Outcome.FAILED,
            "invalid_request_error: max_tokens: too large",
            "req_1",
        ),
        (
            {"type": "errored", "error": {"type": "api_error", "message": "Oops"}},
            Outcome.FAILED,
            "api_error: Oops",
            None,
        ),
        ({"type": "errored", "error": "Oops"}, Outcome.FAILED, "errored: Oops", None),
        ({"type": "errored", "error": 529}, Outcome.FAILED, "errored: 529", None),
        ({"type": "errored"}, Outcome.FAILED, "errored: The provider kept neither an answer nor an error.", None),
        ({"type": "paused"}, Outcome.FAILED, "paused: The provider kept neither an answer nor an error.", None),
        ({}, Outcome.FAILED, "The provider kept neither an answer nor an error.", None),
        ({"type": "canceled"}, Outcome.CANCELLED, "The batch was cancelled before this request was run.", None),
        ({"type": "expired"}, Outcome.EXPIRED, "The batch's time was up before this request was run.", None),
    ],
)
def test_a_request_without_an_answer_says_why(
    result: dict[str, object], outcome: Outcome, error: str, request_id: str | None
) -> None:
    assert read(result) == ResultItem(custom_id="a-1", outcome=outcome, error=error, request_id=request_id)


@pytest.mark.parametrize("result", [None, "x", {"type": 1}])
def test_a_line_that_is_odd_but_names_its_request_is_invalid(result: object) -> None:
    assert (read(result).custom_id, read(result).outcome) == ("a-1", Outcome.INVALID)


@pytest.mark.parametrize("line", [b"", b"{", b"\xff", b"{}", b'{"custom_id": 1}'])
def test_a_line_that_names_no_request_is_an_error_that_keeps_it(line: bytes) -> None:
    with pytest.raises(BadAnswerError) as caught:
        BATCHES.read_item(line)
    assert caught.value.body == line


def test_a_batch_as_small_as_can_be_is_read() -> None:
    bare = {name: CREATED[name] for name in ("id", "processing_status", "request_counts", "created_at")}
    assert msgspec.structs.replace(got(), expires_at=None) == played(BATCHES.get(SITE, "msgbatch_1"), bare)[1]
