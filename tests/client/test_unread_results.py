"""Results that cannot be read: their rows were answered and paid for, so that nothing asks them again by itself."""

import logging
from pathlib import Path

import msgspec
import pytest

from tests.client.fake_api import FakeApi
from tests.client.test_fetch import failure, success
from tidyllm import Job, Model, fetch_batch, openai, retry_batch, send_batch, summary
from tidyllm.core.errors import BadAnswerError
from tidyllm.dialect import ResultFile, ResultItem

MODEL = openai("m", api="chat_completions")
TEXTS = ["one", "two", "three"]


class Unreading:
    """A dialect of batches that reads no result."""

    def __init__(self, batches: object, *, document: bool) -> None:
        self._batches = batches
        self._document = document

    def __getattr__(self, name: str) -> object:
        return getattr(self._batches, name)

    def result_files(self, batch: object) -> tuple[ResultFile, ...]:
        files: tuple[ResultFile, ...] = self._batches.result_files(batch)  # type: ignore[attr-defined]
        return tuple(msgspec.structs.replace(file, document=self._document) for file in files)

    def items(self, document: bytes) -> list[bytes]:
        raise BadAnswerError("no parser for documents", body=document)

    def read_item(self, data: bytes) -> ResultItem:
        raise ValueError(f"no parser for {len(data)} bytes")


def unreading(*, document: bool) -> Model:
    provider = MODEL.provider
    batches = Unreading(provider.batch, document=document)
    return msgspec.structs.replace(MODEL, provider=msgspec.structs.replace(provider, batch=batches))


def output_of(job: Job) -> Path:
    (output,) = (job.folder / "raw").glob("*/output.jsonl")
    return output


def test_a_broken_line_that_still_says_whose_it_is_costs_its_row_alone(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    job = send_batch(TEXTS, MODEL, name="reviews")
    api.complete(output=[success(1), success(3)], error=[failure(2, "server_error")])
    file_id = str(list(api.batches.values())[-1]["output_file_id"])
    whole, cut = api.files[file_id].splitlines()
    api.files[file_id] = whole + b"\n" + cut[:-20] + b"\n"
    table = fetch_batch(job)
    assert table["llm_status"].to_list() == ["ok", "failed", "invalid"]
    place = output_of(job).relative_to(job.folder)
    assert str(table["llm_error"][2]).startswith(f"Line 2 of {place} came for this row, and cannot be read: ")
    caplog.clear()
    retry_batch(job)
    assert [line["custom_id"] for line in api.lines()] == ["row-2"]
    (warned,) = [one.getMessage() for one in caplog.records if "left alone" in one.getMessage()]
    assert warned.startswith(
        f"reviews: 1 rows are left alone, as something came for them that cannot be read, in {place}. "
    )


def test_rows_without_a_line_are_left_alone_where_some_lines_say_not_even_whose_they_are(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    job = send_batch(TEXTS, MODEL, name="reviews")
    api.complete(output=[success(1), {"nobody": 1}, {"nobody": 2}])
    with caplog.at_level(logging.WARNING, "tidyllm"):
        table = fetch_batch(job)
    assert table["llm_status"].to_list() == ["ok", "invalid", "invalid"]
    place = output_of(job).relative_to(job.folder)
    assert table["llm_error"][1] == (
        f"No result is known to be this row's, and {place} has some that cannot be read: its answer may be among them."
    )
    assert [one.getMessage().partition(": ")[2][:62] for one in caplog.records] == [
        "2 results cannot be read, the first of them line 2: This is no",
        "no result line for 2 of 3 rows: No result is known to be this ",
    ]
    assert summary(table).select("status", "rows").rows() == [("invalid", 2), ("ok", 1)]
    assert retry_batch(job) == job
    assert len(api.batches) == 1
    # Whoever would have them asked again all the same takes the lines out.
    output_of(job).write_bytes(output_of(job).read_bytes().splitlines(keepends=True)[0])
    retry_batch(job)
    assert [line["custom_id"] for line in api.lines()] == ["row-2", "row-3"]


@pytest.mark.parametrize("document", [False, True])
def test_results_that_this_version_cannot_read_are_paid_once_and_read_by_another(
    api: FakeApi, caplog: pytest.LogCaptureFixture, *, document: bool
) -> None:
    job = send_batch(TEXTS, unreading(document=document), name="reviews")
    api.complete()
    with caplog.at_level(logging.INFO, "tidyllm"):
        assert fetch_batch(job)["llm_status"].to_list() == ["invalid"] * 3
        assert retry_batch(job) == job
    assert len(api.batches) == 1
    assert sum("3 rows are left alone" in one.getMessage() for one in caplog.records) == 1
    assert fetch_batch("reviews")["llm_status"].to_list() == ["ok"] * 3


def test_a_legible_answer_counts_more_than_one_that_cannot_be_read(api: FakeApi) -> None:
    job = send_batch(TEXTS, MODEL, name="reviews")
    unread = success(1) | {"response": {"status_code": 200, "body": {}}}
    api.complete(output=[success(2), unread, success(3)], error=[failure(3, "server_error"), success(1)])
    assert fetch_batch(job)["llm_status"].to_list() == ["ok"] * 3


def test_a_failure_does_not_hide_an_answer_that_cannot_be_read(api: FakeApi) -> None:
    job = send_batch(TEXTS, MODEL, name="reviews")
    unread = success(1) | {"response": {"status_code": 200, "body": {}}}
    api.complete(output=[success(2), unread, success(3)], error=[failure(1, "server_error")])
    assert fetch_batch(job)["llm_status"].to_list() == ["invalid", "ok", "ok"]
    assert retry_batch(job) == job


def test_rows_that_never_ran_are_not_taken_for_answered_where_every_line_is_legible(api: FakeApi) -> None:
    job = send_batch(TEXTS, MODEL, name="reviews")
    api.complete(output=[success(1)])
    api.end(status="expired")
    assert fetch_batch(job)["llm_status"].to_list() == ["ok", "expired", "expired"]
