"""Batch Mode: lists, batches, and their results in a file or in the body; the shapes are those of spec/gemini 9."""

import json
from array import array
from pathlib import Path

import msgspec
import pytest

from tidyllm.core.batch import Batch, BatchStatus, Problem, RequestCounts
from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import BadAnswerError, NotFoundError
from tidyllm.core.params import Params
from tidyllm.core.reply import Outcome
from tidyllm.core.wire import Call, Repeat, Request, Response, T
from tidyllm.dialect import BatchOrder, ResultFile, ResultItem, Site
from tidyllm.dialects.gemini.batch import Batches
from tidyllm.dialects.gemini.batch_shapes import CHAT_PATH, EMBED_PATH
from tidyllm.dialects.gemini.embed import EmbedContents
from tidyllm.providers.gemini import gemini

SITE = Site(provider="gemini", base_url="https://generativelanguage.googleapis.com/v1beta", headers=(("x-a", "b"),))
BATCHES = Batches()
METADATA: dict[str, object] = {
    "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
    "model": "models/gemini-3.8-flash",
    "displayName": "demo t0k",
    "inputConfig": {"fileName": "files/abc"},
    "state": "BATCH_STATE_PENDING",
    "createTime": "2026-01-01T00:00:00.123456789Z",
    "updateTime": "2026-01-01T00:00:00.123456789Z",
    "batchStats": {"requestCount": "5", "pendingRequestCount": "5"},
}
BORN = 1_767_225_600
FILE = {"responsesFile": "files/batch-xyz"}
INLINED = {"inlinedResponses": {"inlinedResponses": [{"response": {"a": 1}, "metadata": {"key": "row-1"}}]}}
JSON = ("content-type", "application/json")
ORDER = BatchOrder(
    name='de"mo',
    token="t0k",  # noqa: S106 - no password
    model="gemini-3.8-flash",
    path=CHAT_PATH,
    requests=Path("/jobs/requests.json"),
)


def operation(*, response: object = None, error: object = None, **changes: object) -> dict[str, object]:
    told = {"response": response, "error": error}
    metadata = {name: value for name, value in (METADATA | changes).items() if value is not None}
    return {"name": "batches/xyz", "metadata": metadata} | {name: value for name, value in told.items() if value}


def played(call: Call[T], *answers: object) -> tuple[list[Request], T]:
    requests = []
    request = next(call)
    assert isinstance(request, Request)
    requests.append(request)
    for answer in answers[:-1]:
        request = call.send(Response(status=200, body=json.dumps(answer).encode()))
        assert isinstance(request, Request)
        requests.append(request)
    with pytest.raises(StopIteration) as end:
        call.send(Response(status=200, body=json.dumps(answers[-1]).encode()))
    result: T = end.value.value
    return requests, result


def got(**changes: object) -> Batch:
    return played(BATCHES.get(SITE, "batches/xyz"), operation(**changes))[1]


def read(item: object) -> ResultItem:
    return BATCHES.read_item(json.dumps(item).encode())


def test_a_batch_is_read() -> None:
    assert got() == Batch(
        id="batches/xyz",
        status=BatchStatus.VALIDATING,
        counts=RequestCounts(total=5),
        created_at=BORN,
        endpoint=CHAT_PATH,
        model="gemini-3.8-flash",
        input_file_id="files/abc",
        name="demo t0k",
    )


def test_a_bare_batch_is_read() -> None:
    for bare in ({"name": "batches/xyz"}, {"name": "batches/xyz", "metadata": {}}):
        batch = played(BATCHES.get(SITE, "xyz"), bare)[1]
        assert batch == Batch(id="batches/xyz", status=BatchStatus.IN_PROGRESS, counts=RequestCounts(), created_at=0)


@pytest.mark.parametrize("prefix", ["BATCH_STATE_", "JOB_STATE_"])
@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("PENDING", "validating"),
        ("QUEUED", "validating"),
        ("RUNNING", "in_progress"),
        ("SUCCEEDED", "completed"),
        ("PARTIALLY_SUCCEEDED", "completed"),
        ("FAILED", "failed"),
        ("CANCELLING", "cancelling"),
        ("CANCELLED", "cancelled"),
        ("EXPIRED", "expired"),
    ],
)
def test_a_state_is_read_with_either_prefix(prefix: str, state: str, status: str) -> None:
    batch = got(state=prefix + state, output=FILE, endTime="2026-01-01T01:00:00.5Z")
    assert (batch.status.value, batch.status_word) == (status, None)
    ended_at = BORN + 3600 if batch.status.ended else None
    assert getattr(batch, f"{status}_at", None) == ended_at


def test_a_state_of_tomorrow_is_kept_and_is_no_end() -> None:
    batch = got(state="JOB_STATE_PAUSED")
    assert (batch.status, batch.status_word) == (BatchStatus.IN_PROGRESS, "PAUSED")


def test_counts_are_numbers_in_quotes_and_absent_ones_are_zero() -> None:
    stats = {"requestCount": "5", "successfulRequestCount": 3, "failedRequestCount": "x"}
    assert got(batchStats=stats).counts == RequestCounts(total=5, completed=3)
    assert got(batchStats=None).counts == RequestCounts()


def test_a_batch_has_not_ended_before_its_results_are_there() -> None:
    for output in (None, {}, {"responsesFile": ""}):
        batch = got(state="BATCH_STATE_SUCCEEDED", output=output)
        assert (batch.status, batch.status.ended) == (BatchStatus.FINALIZING, False)
        assert BATCHES.result_files(batch) == ()


@pytest.mark.parametrize("place", ["output", "response"])
def test_results_are_a_file_or_the_batch_itself(place: str) -> None:
    other: dict[str, object] = {"output": {}} if place == "response" else {}
    batch = got(state="BATCH_STATE_SUCCEEDED", **{**other, place: FILE})
    assert BATCHES.result_files(batch) == (ResultFile(name="output.jsonl", id="files/batch-xyz"),)
    vectors: dict[str, object] = {"inlinedEmbedContentResponses": {}}
    for inlined in (INLINED, vectors):
        batch = got(state="BATCH_STATE_SUCCEEDED", **{**other, place: inlined})
        assert batch.status is BatchStatus.COMPLETED
        assert BATCHES.result_files(batch) == (ResultFile(name="output.json", id="batches/xyz", document=True),)


def test_a_batch_that_failed_says_why() -> None:
    batch = got(state="BATCH_STATE_FAILED", error={"code": 13, "message": "Oops"})
    assert batch.problems == (Problem(code="INTERNAL", message="Oops"),)
    assert got(state="BATCH_STATE_FAILED", error={"code": 400, "message": "Bad"}).problems[0].code == "400"
    assert got(state="BATCH_STATE_CANCELLED", error={"code": 1, "message": "Cancelled"}).problems == ()
    assert BATCHES.result_files(batch) == ()


def test_what_is_no_batch_is_an_error() -> None:
    call = BATCHES.get(SITE, "xyz")
    next(call)
    with pytest.raises(BadAnswerError):
        call.send(Response(status=200, body=b'{"error": {"message": "Oops"}}'))
    call = BATCHES.get(SITE, "xyz")
    next(call)
    with pytest.raises(NotFoundError):
        call.send(Response(status=404))


def test_a_batch_is_asked_for_by_its_name_with_or_without_its_kind() -> None:
    for name in ("batches/x y", "x y"):
        (request,), _ = played(BATCHES.get(SITE, name), operation())
        assert (request.method, request.url) == ("GET", f"{SITE.base_url}/batches/x%20y")
        assert request.headers == SITE.headers
        assert request.body_bytes_max == 1024**3


def test_a_page_leaves_results_out_and_says_what_to_ask_the_next_one_with() -> None:
    answer = {"operations": [operation(), operation(state="BATCH_STATE_SUCCEEDED")], "nextPageToken": "p 2"}
    (request,), page = played(BATCHES.page(SITE, limit=2), answer)
    assert request.url == f"{SITE.base_url}/batches?pageSize=2"
    assert [batch.status for batch in page.batches] == [BatchStatus.VALIDATING, BatchStatus.COMPLETED]
    # So it has to be asked for.
    assert BATCHES.result_files(page.batches[1]) == ()
    assert page.after == "p 2"


@pytest.mark.parametrize("end", [{}, {"operations": None, "nextPageToken": ""}])
def test_the_last_page_says_so(end: dict[str, object]) -> None:
    (request,), page = played(BATCHES.page(SITE, limit=2, after="p 2"), end)
    assert request.url == f"{SITE.base_url}/batches?pageSize=2&pageToken=p+2"
    assert (page.batches, page.after) == ((), None)


def test_a_batch_of_a_file_is_created_once_and_never_again() -> None:
    order = msgspec.structs.replace(ORDER, input_file_id="files/abc")
    (request,), batch = played(BATCHES.create(SITE, order), operation())
    assert (request.method, request.url) == ("POST", f"{SITE.base_url}/models/gemini-3.8-flash:batchGenerateContent")
    assert (request.repeat, request.headers) == (Repeat.NEVER, (*SITE.headers, JSON))
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == {"batch": {"displayName": 'de"mo t0k', "inputConfig": {"fileName": "files/abc"}}}
    assert batch.id == "batches/xyz"


def test_a_batch_of_embeddings_has_an_address_of_its_own() -> None:
    order = msgspec.structs.replace(ORDER, path=EMBED_PATH, model="models/m", input_file_id="files/abc")
    (request,), batch = played(BATCHES.create(SITE, order), operation(**{"@type": "x/EmbedContentBatch"}))
    assert request.url == f"{SITE.base_url}/models/m:asyncBatchEmbedContent"
    assert batch.endpoint == EMBED_PATH


def test_requests_go_in_the_body_where_they_are_few() -> None:
    (request,), _ = played(BATCHES.create(SITE, ORDER), operation())
    assert (request.body, request.headers) == (ORDER.requests, (*SITE.headers, JSON))
    framing = BATCHES.framing(ORDER)
    lines = [BATCHES.line(key, path=CHAT_PATH, body={"contents": []}, inline=True) for key in ("row-1", "row-2")]
    requests = [{"request": {"contents": []}, "metadata": {"key": key}} for key in ("row-1", "row-2")]
    assert json.loads(framing.head + framing.between.join(lines) + framing.tail) == {
        "batch": {"displayName": 'de"mo t0k', "inputConfig": {"requests": {"requests": requests}}}
    }
    assert BATCHES.uploads
    assert 0 < BATCHES.inline_bytes_max < 20_000_000


def test_a_line_of_the_file_has_a_key() -> None:
    line = BATCHES.line("row-1", path=CHAT_PATH, body={"contents": [], "x": "ü\n"}, inline=False)
    assert b"\n" not in line
    assert json.loads(line) == {"key": "row-1", "request": {"contents": [], "x": "ü\n"}}


@pytest.mark.parametrize("inline", [True, False])
def test_a_text_to_embed_is_said_without_its_model(*, inline: bool) -> None:
    request = next(EmbedContents().embed(SITE, ["text"], model="m", params=Params(dimensions=256)))
    assert isinstance(request, Request)
    assert isinstance(request.body, bytes)
    line = BATCHES.line("row-1", path=EMBED_PATH, body=json.loads(request.body), inline=inline)
    assert json.loads(line)["request"] == {"content": {"parts": [{"text": "text"}]}, "outputDimensionality": 256}


def test_a_batch_is_asked_to_stop_and_then_looked_at() -> None:
    running = operation(state="BATCH_STATE_RUNNING")
    (cancel, look), batch = played(BATCHES.cancel(SITE, "batches/xyz"), {}, running)
    assert (cancel.method, cancel.url, cancel.body) == ("POST", f"{SITE.base_url}/batches/xyz:cancel", b"{}")
    assert (look.method, look.url) == ("GET", f"{SITE.base_url}/batches/xyz")
    assert batch.status is BatchStatus.CANCELLING
    stopped = operation(state="BATCH_STATE_CANCELLED", error={"code": 1})
    assert played(BATCHES.cancel(SITE, "xyz"), {}, stopped)[1].status is BatchStatus.CANCELLED


def test_a_batch_is_deleted() -> None:
    (request,), _ = played(BATCHES.delete(SITE, "batches/xyz"), {})
    assert (request.method, request.url) == ("DELETE", f"{SITE.base_url}/batches/xyz")


def test_results_are_written_to_disk_whichever_way_they_come() -> None:
    sink = Path("/jobs/output")
    file, document = ResultFile(name="o", id="files/batch-x"), ResultFile(name="o", id="batches/xyz", document=True)
    (request,), _ = played(BATCHES.download(SITE, got(), file=file, sink=sink), {})
    assert (request.url.endswith("/download/v1beta/files/batch-x:download?alt=media"), request.sink) == (True, sink)
    (request,), _ = played(BATCHES.download(SITE, got(), file=document, sink=sink), {})
    assert (request.url, request.sink) == (f"{SITE.base_url}/batches/xyz", sink)


def test_results_in_a_batch_are_taken_apart() -> None:
    document = json.dumps(operation(state="BATCH_STATE_SUCCEEDED", output=INLINED)).encode()
    assert [BATCHES.read_item(item) for item in BATCHES.items(document)] == [
        ResultItem(custom_id="row-1", body=b'{"a": 1}')
    ]
    empty = json.dumps(operation(response={"inlinedResponses": {}})).encode()
    assert list(BATCHES.items(empty)) == []


@pytest.mark.parametrize("document", [b"", b"{}", b"\xff", b'{"name": "batches/xyz"}', b'{"name": "x", "error": {}}'])
def test_a_document_without_results_is_an_error_that_keeps_it(document: bytes) -> None:
    with pytest.raises(BadAnswerError) as caught:
        BATCHES.items(document)
    assert caught.value.body == document


def test_a_success_is_an_answer_as_the_live_api_gives_it() -> None:
    response = {"candidates": [{"content": {"parts": [{"text": 'An "embedding".'}]}, "finishReason": "STOP"}]}
    item = read({"key": "row-1", "response": response})
    assert item == ResultItem(custom_id="row-1", body=json.dumps(response).encode())
    assert gemini.chat is not None
    assert item.body is not None
    assert gemini.chat.read(item.body).text == 'An "embedding".'
    for key in (None, "", 7):
        assert read({"key": key, "metadata": {"key": "row-1"}, "response": {}, "error": {}}).body == b"{}"


@pytest.mark.parametrize(("count", "tokens"), [("3", 3), (3, 3), (None, None), ({}, None)])
def test_a_vector_is_an_answer_as_the_live_api_gives_it(count: object, tokens: int | None) -> None:
    item = read({"key": "row-1", "response": {"tokenCount": count, "embedding": {"values": [0.5, -1.0]}}})
    assert item.body is not None
    call = EmbedContents().embed(SITE, ["text"], model="m", params=Params())
    next(call)
    with pytest.raises(StopIteration) as end:
        call.send(Response(status=200, body=item.body))
    found = end.value.value
    assert isinstance(found, Embeddings)
    assert (list(array("f", found.vectors)), found.tokens_in) == ([0.5, -1.0], tokens)


def test_a_vector_that_is_none_is_passed_on_for_the_live_dialect_to_refuse() -> None:
    assert read({"key": "row-1", "response": {"embedding": None}}).body == b'{"embedding": null}'


@pytest.mark.parametrize(
    "response",
    [b'"text"', b"[]", b"7", b'"\\"embedding\\""', b'["embedding"]', b'{"embedding": {}, "tokenCount": "\xff"}'],
)
def test_a_success_without_an_answer_is_invalid(response: bytes) -> None:
    item = BATCHES.read_item(b'{"key": "row-1", "response": ' + response + b"}")
    assert (item.custom_id, item.outcome, item.body) == ("row-1", Outcome.INVALID, None)
    assert item.error


@pytest.mark.parametrize(
    ("item", "outcome", "error"),
    [
        ({"error": {"code": 13, "message": "Oops"}}, Outcome.FAILED, "INTERNAL: Oops"),
        ({"error": {"code": 8}}, Outcome.FAILED, "RESOURCE_EXHAUSTED: 8"),
        ({"error": {"code": 429, "message": "Slow"}}, Outcome.FAILED, "429: Slow"),
        ({"error": {"code": 1, "message": "Stopped"}, "response": None}, Outcome.CANCELLED, "CANCELLED: Stopped"),
        ({"error": {"message": "Oops"}}, Outcome.FAILED, "Oops"),
        ({"error": "Oops"}, Outcome.FAILED, "Oops"),
        ({"error": 13}, Outcome.FAILED, "INTERNAL: 13"),
        ({"error": {}}, Outcome.FAILED, "The provider kept neither an answer nor an error."),
        ({}, Outcome.FAILED, "The provider kept neither an answer nor an error."),
    ],
)
def test_a_request_without_an_answer_says_why(item: dict[str, object], outcome: Outcome, error: str) -> None:
    assert read({"key": "row-1"} | item) == ResultItem(custom_id="row-1", outcome=outcome, error=error)


@pytest.mark.parametrize("line", [b"", b"{", b"\xff", b"{}", b'{"key": 1}', b'{"key": "", "metadata": "row-1"}'])
def test_a_result_that_names_no_request_is_an_error_that_keeps_it(line: bytes) -> None:
    with pytest.raises(BadAnswerError) as caught:
        BATCHES.read_item(line)
    assert caught.value.body == line
