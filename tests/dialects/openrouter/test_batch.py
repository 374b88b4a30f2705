"""OpenRouter's batches, as https://openrouter.ai/docs/batch-quickstart shows them."""

import json
from pathlib import Path

import pytest

from tests.dialects.played import played
from tidyllm.core.batch import Batch, BatchStatus, BatchUsage, Problem, RequestCounts
from tidyllm.core.errors import BadAnswerError, ConflictError, SettingError
from tidyllm.core.reply import Outcome
from tidyllm.core.wire import MIB, Repeat, Response
from tidyllm.dialect import BatchOrder, ResultFile, ResultItem, Site
from tidyllm.dialects.openrouter.batch import Batches

SITE = Site(provider="openrouter", base_url="https://openrouter.ai/api/v1")
URL = "https://openrouter.ai/api/v1/batches"
RESULT = {
    "id": "batch_req_1",
    "custom_id": "abcdef012345-1",
    "response": {"status_code": 200, "request_id": "request_1", "body": {"id": "gen-batch-1"}},
    "error": None,
}
BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "model": "openai/gpt-4o",
    "completion_window": "24h",
    "status": "completed",
    "created_at": 1_782_097_200,
    "expires_at": None,
    "finalized_at": 1_782_100_800,
    "request_counts": {"total": 2, "completed": 1, "failed": 1},
    "usage": {"prompt_tokens": 20, "completion_tokens": 40, "total_tokens": 60, "cost": 0.000225, "is_byok": False},
    "results": [RESULT],
    "error": None,
}
ORDER = BatchOrder(
    name="demo",
    token="a7",  # noqa: S106 - the name of a batch, no secret
    model="openai/gpt-4o",
    path="/v1/chat/completions",
    requests=Path("/jobs/requests.json"),
)


def got(**changes: object) -> Batch:
    return played(Batches().get(SITE, "batch_1"), BATCH | changes)[1]


def test_a_batch_is_read() -> None:
    request, batch = played(Batches().get(SITE, "a/b"), BATCH)
    assert (request.method, request.url) == ("GET", f"{URL}/a%2Fb")
    assert request.body_bytes_max > 600 * MIB
    assert batch == Batch(
        id="batch_1",
        status=BatchStatus.COMPLETED,
        counts=RequestCounts(total=2, completed=1, failed=1),
        created_at=1_782_097_200,
        completed_at=1_782_100_800,
        endpoint="/v1/chat/completions",
        model="openai/gpt-4o",
        usage=BatchUsage(input_tokens=20, output_tokens=40),
    )


def test_a_batch_that_has_just_begun_is_read() -> None:
    batch = got(status="validating", finalized_at=None, usage=None, results=None, request_counts=None)
    assert (batch.status, batch.counts, batch.usage) == (BatchStatus.VALIDATING, RequestCounts(), None)
    assert got(status="archived").status_word == "archived"


def test_a_batch_that_failed_says_why_and_is_no_failed_request() -> None:
    batch = got(status="failed", results=None, error={"code": 400, "message": "Request 3 has an image."})
    assert batch.problems == (Problem(code="400", message="Request 3 has an image."),)
    assert batch.failed_at == 1_782_100_800
    assert Batches().result_files(batch) == ()


def test_a_page_says_what_to_ask_the_next_one_with() -> None:
    listed = BATCH | {"results": None}
    answer = {"object": "list", "data": [listed, listed | {"id": "batch_0"}], "last_id": "batch_0", "has_more": True}
    request, page = played(Batches().page(SITE, limit=2, after="batch_2"), answer)
    assert request.url == f"{URL}?limit=2&after=batch_2"
    assert ([batch.id for batch in page.batches], page.after) == (["batch_1", "batch_0"], "batch_0")
    request, page = played(Batches().page(SITE, limit=2), {"data": [listed], "has_more": False})
    assert (request.url, page.after) == (f"{URL}?limit=2", None)
    assert played(Batches().page(SITE, limit=2), {"data": [], "has_more": True})[1].after is None


def test_the_requests_come_last_in_the_body() -> None:
    framing = Batches().framing(ORDER)
    line = Batches().line("a-1", path=ORDER.path, body={"model": "openai/gpt-4o", "messages": []}, inline=True)
    body = json.loads(framing.head + line + framing.between + line + framing.tail)
    assert [*body] == ["endpoint", "model", "completion_window", "requests"]
    assert (body["endpoint"], body["model"], body["completion_window"]) == (ORDER.path, ORDER.model, "24h")
    one = {"custom_id": "a-1", "body": {"model": "openai/gpt-4o", "messages": []}}
    assert body["requests"] == [one, one]


def test_a_batch_is_created_once_and_never_again() -> None:
    request, batch = played(Batches().create(SITE, ORDER), BATCH | {"status": "validating"}, status=202)
    assert (request.method, request.url, request.repeat) == ("POST", URL, Repeat.NEVER)
    assert (request.body, request.headers) == (ORDER.requests, (("content-type", "application/json"),))
    assert batch.id == "batch_1"


def test_what_we_ask_of_routing_ourselves_is_left_out() -> None:
    body = {"model": "m", "provider": {"require_parameters": True}}
    line = Batches().line("a-1", path=ORDER.path, body=body, inline=True)
    assert json.loads(line) == {"custom_id": "a-1", "body": {"model": "m"}}


def test_what_the_user_asks_of_routing_is_refused() -> None:
    body = {"model": "m", "provider": {"require_parameters": True, "order": ["OpenAI"]}}
    with pytest.raises(SettingError, match=r"leave provider \(order\) out of extra="):
        Batches().line("a-1", path=ORDER.path, body=body, inline=True)


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
def test_results_come_with_the_batch(status: str) -> None:
    sink = Path("/jobs/batch.json")
    (file,) = Batches().result_files(got(status=status))
    assert file == ResultFile(name="batch.json", id="batch_1", document=True)
    request, _ = played(Batches().download(SITE, got(), file=file, sink=sink), None)
    assert (request.url, request.sink) == (f"{URL}/batch_1", sink)


def test_there_are_no_results_before_the_end() -> None:
    assert Batches().result_files(got(status="in_progress")) == ()


def test_results_are_taken_out_of_the_batch() -> None:
    failure = {"custom_id": "abcdef012345-2", "response": None, "error": {"code": 502, "message": "Upstream failed."}}
    items = Batches().items(json.dumps(BATCH | {"results": [RESULT, failure, 7]}).encode())
    answered, failed, odd = items
    assert Batches().read_item(answered) == ResultItem(
        custom_id="abcdef012345-1", body=b'{"id": "gen-batch-1"}', request_id="request_1"
    )
    assert Batches().read_item(failed) == ResultItem(
        custom_id="abcdef012345-2", outcome=Outcome.FAILED, error="Upstream failed."
    )
    with pytest.raises(BadAnswerError):
        Batches().read_item(odd)


def test_a_batch_that_ended_early_holds_no_results() -> None:
    assert list(Batches().items(json.dumps(BATCH | {"results": None}).encode())) == []


@pytest.mark.parametrize("document", [b"", b"[]", b'{"results": 7}', b"\xff"])
def test_what_is_no_batch_holds_none(document: bytes) -> None:
    with pytest.raises(BadAnswerError, match="no batch with its results"):
        Batches().items(document)


def test_a_batch_is_forgotten_once_it_has_ended() -> None:
    request, _ = played(Batches().delete(SITE, "a/b"), {"id": "a/b", "deleted": True})
    assert (request.method, request.url) == ("DELETE", f"{URL}/a%2Fb")
    call = Batches().delete(SITE, "batch_1")
    next(call)
    with pytest.raises(ConflictError):
        call.send(Response(status=409, body=b'{"error": {"code": 409, "message": "Not ended."}}'))


def test_an_error_is_an_exception() -> None:
    call = Batches().get(SITE, "batch_1")
    next(call)
    with pytest.raises(ConflictError):
        call.send(Response(status=409, body=b'{"error": {"code": 409, "message": "Oops."}}'))
