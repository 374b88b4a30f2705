"""The Batch API as others have it: Groq, Perplexity, Voyage and Azure."""

import json
from pathlib import Path

import msgspec
import pytest

from tests.dialects.played import played
from tidyllm.core.batch import BatchStatus, Problem
from tidyllm.core.wire import Repeat, Request, Response
from tidyllm.dialect import BatchOrder, ResultFile, Site
from tidyllm.dialects.openai.batch import Batches
from tidyllm.dialects.openai.files import Files

SITE = Site(provider="groq", base_url="https://api.groq.com/openai/v1", headers=(("x-a", "b"),))
BATCH = {"id": "batch_1", "object": "batch", "status": "in_progress", "created_at": 1_790_705_881}
ORDER = BatchOrder(
    name="demo",
    token="a7",  # noqa: S106 - the name of a batch, no secret
    model="voyage-4",
    path="/v1/embeddings",
    requests=Path("/jobs/requests.jsonl"),
    input_file_id="file-1",
    shared={"model": "voyage-4", "truncation": False},
)


def test_a_list_with_cursors_is_asked_for_with_them_alone() -> None:
    answer = {"object": "list", "data": [BATCH], "paging": {"next_cursor": "cursor_a=?"}}
    request, page = played(Batches(has_cursors=True).page(SITE, limit=20), answer)
    assert request.url == "https://api.groq.com/openai/v1/batches"
    assert page.after == "cursor_a=?"
    request, _ = played(Batches(has_cursors=True).page(SITE, limit=20, after=page.after), answer)
    assert request.url == "https://api.groq.com/openai/v1/batches?cursor=cursor_a%3D%3F"


@pytest.mark.parametrize(
    "end",
    [
        {"data": [BATCH]},
        {"data": [BATCH], "paging": None},
        {"data": [BATCH], "paging": {"next_cursor": None}},
        {"data": [BATCH], "paging": {"next_cursor": ""}},
        {"data": [], "paging": {"next_cursor": "cursor_a"}},
    ],
)
def test_the_last_page_of_a_list_with_cursors_says_so(end: dict[str, object]) -> None:
    assert played(Batches(has_cursors=True).page(SITE, limit=20), end)[1].after is None


def test_problems_may_be_a_bare_list() -> None:
    answer = BATCH | {"status": "failed", "errors": [{"code": "invalid_jsonl", "message": "Wrong.", "line": 3}]}
    batch = played(Batches().get(SITE, "batch_1"), answer)[1]
    assert batch.problems == (Problem(code="invalid_jsonl", message="Wrong.", line=3),)


def test_a_request_that_starts_a_batch_has_the_orders_word_as_its_key() -> None:
    request, _ = played(Batches(has_keys=True).create(SITE, ORDER), BATCH)
    assert request.headers == (("x-a", "b"), ("content-type", "application/json"), ("idempotency-key", "a7"))
    assert request.repeat is Repeat.NEVER


def test_what_all_requests_say_stands_with_the_batch() -> None:
    batches = Batches(window="12h", lines_are_texts=True)
    line = batches.line("row-1", path=ORDER.path, body={**ORDER.shared, "input": ["A"]}, inline=False)
    assert json.loads(line) == {"custom_id": "row-1", "body": {"input": ["A"]}}
    request, _ = played(batches.create(SITE, ORDER), BATCH)
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == {
        "input_file_id": "file-1",
        "endpoint": "/v1/embeddings",
        "completion_window": "12h",
        "metadata": ORDER.notes,
        "request_params": {"model": "voyage-4", "truncation": False},
    }


def test_times_may_be_texts_and_words_may_have_capitals() -> None:
    answer = BATCH | {
        "status": "Completed",
        "created_at": "2025-11-19T02:47:42.031781+00:00",
        "completed_at": "2025-11-19 02:48:09",
        "expires_at": "tomorrow",
    }
    batch = played(Batches().get(SITE, "batch_1"), answer)[1]
    assert (batch.status, batch.status_word) == (BatchStatus.COMPLETED, None)
    assert (batch.created_at, batch.completed_at, batch.expires_at) == (1_763_520_462, 1_763_520_489, None)
    assert played(Batches().get(SITE, "batch_1"), BATCH | {"created_at": None})[1].created_at == 0


def test_notes_that_are_no_texts_are_told_as_texts() -> None:
    batch = played(Batches().get(SITE, "batch_1"), BATCH | {"metadata": {"run": 7}})[1]
    assert batch.metadata == {"run": "7"}


def test_results_are_fetched_as_the_files_are() -> None:
    batch = played(Batches().get(SITE, "batch_1"), BATCH)[1]
    file = ResultFile(name="output.jsonl", id="file-2")
    call = Batches(files=Files(points_elsewhere=True)).download(SITE, batch, file=file, sink=Path("/jobs/o.jsonl"))
    next(call)
    request = call.send(Response(status=307, headers={"location": "https://kept.example/file-2"}))
    assert isinstance(request, Request)
    assert request.url == "https://kept.example/file-2"


def test_requests_are_not_framed() -> None:
    with pytest.raises(TypeError, match="uploaded"):
        Batches().framing(msgspec.structs.replace(ORDER, input_file_id=None))
