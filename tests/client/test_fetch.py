"""Fetching: raw files first, every row back in its place, whatever became of it."""

import asyncio
import logging
from pathlib import Path

import msgspec
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from tests.client.fake_api import FakeApi, Json, success_line
from tidyllm import Job, afetch_batch, fetch_batch, openai, send_batch, using
from tidyllm.client.jobs import JobFolder
from tidyllm.core.errors import BatchFailedError, JobError, JobNotFoundError, NotDoneError, NotFoundError, SettingError
from tidyllm.testing import play

ROWS = pl.DataFrame({"text": ["one", "two", "three"], "stars": [1, None, 3]})
NEW_COLUMNS = {
    "reply": pl.String,
    "llm_status": pl.String,
    "llm_error": pl.String,
    "llm_finish": pl.String,
    "llm_model": pl.String,
    "llm_tokens_in": pl.Int64,
    "llm_tokens_out": pl.Int64,
    "llm_cost": pl.Float64,
    "llm_seconds": pl.Float64,
    "llm_attempts": pl.Int64,
    "llm_id": pl.String,
}


def send(rows: object = ROWS) -> Job:
    return send_batch(rows, openai("m", api="chat_completions"), prompt="Say {text}", name="reviews")  # type: ignore[call-overload,no-any-return]


def success(row: int, **message: object) -> Json:
    body = {"model": "m", "messages": [{"role": "user", "content": f"say {row}"}]}
    line: Json = msgspec.json.decode(msgspec.json.encode(success_line({"custom_id": f"row-{row}", "body": body})))
    finish = message.pop("finish_reason", "stop")
    choice = line["response"]["body"]["choices"][0]  # type: ignore[index]
    choice["message"] |= message
    choice["finish_reason"] = finish
    return line


def failure(row: int, code: str, message: str = "Sorry.") -> Json:
    return {"id": "b", "custom_id": f"row-{row}", "response": None, "error": {"code": code, "message": message}}


def refused(row: int, status: int, body: object) -> Json:
    response = {"status_code": status, "request_id": "req_9", "body": body}
    return {"id": "b", "custom_id": f"row-{row}", "response": response, "error": None}


def test_every_row_comes_back_in_its_place(api: FakeApi) -> None:
    job = send()
    api.complete()
    table = fetch_batch(job)
    assert dict(table.schema) == dict(ROWS.schema) | NEW_COLUMNS
    assert table.select(ROWS.columns).equals(ROWS)
    assert table["reply"].to_list() == ["SAY ONE", "SAY TWO", "SAY THREE"]
    assert table.row(1, named=True) == {
        "text": "two",
        "stars": None,
        "reply": "SAY TWO",
        "llm_status": "ok",
        "llm_error": None,
        "llm_finish": "stop",
        "llm_model": "m-2026",
        "llm_tokens_in": 8,
        "llm_tokens_out": 3,
        "llm_cost": None,
        "llm_seconds": None,
        "llm_attempts": None,
        "llm_id": "chatcmpl-row-2",
    }


@pytest.mark.parametrize("give", [lambda job: job, lambda job: job.name], ids=["value", "name"])
def test_a_second_fetch_needs_no_network(api: FakeApi, give: "object") -> None:
    job = send()
    api.complete()
    first = fetch_batch(job)
    with using(play()):
        assert fetch_batch(give(job)).equals(first)  # type: ignore[operator]
    assert api.asked == ["upload", "create", "get", "content"]


def test_files_that_were_removed_here_are_downloaded_again(api: FakeApi, home: Path) -> None:
    job = send()
    api.complete()
    first = fetch_batch(job)
    for file in home.glob("reviews/raw/*/*"):
        file.unlink()
    assert fetch_batch(job).equals(first)


def test_the_names_of_the_answers_columns_begin_as_was_said_last(api: FakeApi) -> None:
    job = send()
    api.complete()
    assert "reply" in fetch_batch(job).columns
    assert send_batch(ROWS, job.model, prompt="Say {text}", name=job.name, prefix="new_") == job
    assert "new_reply" in fetch_batch(job).columns
    assert api.asked.count("create") == 1


def test_a_fetch_can_be_awaited(api: FakeApi) -> None:
    send()
    api.complete()
    table = asyncio.run(afetch_batch("reviews"))
    assert table["llm_status"].to_list() == ["ok"] * 3


def test_output_and_error_files_are_read_whatever_the_counts_say(api: FakeApi) -> None:
    job = send()
    counts = {"total": 3, "completed": 3, "failed": 0}
    lines = [refused(2, 0, {}), refused(1, 400, {"error": {"message": "Too long", "code": "context_length_exceeded"}})]
    api.complete(output=[success(3)], error=lines, request_counts=counts)
    table = fetch_batch(job)
    assert table["llm_status"].to_list() == ["failed", "failed", "ok"]
    assert table["llm_error"].to_list() == [
        "400: Too long",
        "0: The provider kept neither an answer nor an error.",
        None,
    ]
    assert table["llm_id"].to_list() == ["req_9", "req_9", "chatcmpl-row-3"]


def test_a_batch_whose_requests_all_failed_has_only_an_error_file(api: FakeApi) -> None:
    job = send()
    api.complete(error=[failure(row, "server_error") for row in (1, 2, 3)], output_file_id="")
    table = fetch_batch(job)
    assert table["llm_status"].to_list() == ["failed"] * 3
    assert dict(table.schema) == dict(ROWS.schema) | NEW_COLUMNS


def test_refused_truncated_and_empty_answers_are_told_apart(api: FakeApi) -> None:
    job = send()
    lines = [
        success(1, content=None, refusal="I cannot."),
        success(2, finish_reason="length"),
        success(3, content=None),
    ]
    api.complete(output=lines)
    table = fetch_batch(job)
    assert table["llm_status"].to_list() == ["refused", "truncated", "invalid"]
    assert table["llm_error"].to_list() == [
        "I cannot.",
        None,
        "The answer holds no text; its finish is 'stop'.",
    ]
    assert table["reply"].to_list() == [None, "SAY 2", None]


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_an_early_end_keeps_what_was_answered(api: FakeApi, status: str) -> None:
    job = send()
    error = [failure(2, f"batch_{status}", "Not run.")]
    api.complete(output=[success(1)], error=error)
    api.end(status=status)
    table = fetch_batch(job)
    assert table["llm_status"].to_list() == ["ok", status, status]
    assert table["llm_error"].to_list()[1] == "Not run."
    assert "before this row was run" in table["llm_error"].to_list()[2]


def test_a_batch_cancelled_before_it_ran_has_no_files_and_all_its_rows(api: FakeApi) -> None:
    job = send()
    api.end(status="cancelled")
    assert fetch_batch(job)["llm_status"].to_list() == ["cancelled"] * 3


def test_missing_doubled_strange_and_unreadable_lines_are_reported(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    job = send()
    error: list[Json] = [
        failure(1, "server_error"),
        success(77),
        {"custom_id": "row-3", "response": {"status_code": "?"}},
        {},
    ]
    api.complete(output=[success(1)], error=error)
    with caplog.at_level(logging.WARNING, "tidyllm"):
        table = fetch_batch(job)
    # Not pending: no later fetch can bring it, and who waits until nothing is pending must come to an end.
    assert table["llm_status"].to_list() == ["ok", "invalid", "failed"]
    assert "its answer may be among them" in table["llm_error"][1]
    assert [record.getMessage().partition(": ")[2][:40] for record in caplog.records] == [
        "1 results cannot be read, the first of t",
        "1 result lines answer a request that ano",
        "1 result lines answer requests that are ",
        "no result line for 1 of 3 rows: No resul",
    ]


def test_a_failure_never_hides_an_answer_that_was_paid(api: FakeApi) -> None:
    job = send()
    api.complete(output=[failure(1, "server_error"), success(2), success(3)], error=[success(1)])
    assert fetch_batch(job)["llm_status"].to_list() == ["ok"] * 3


@pytest.mark.usefixtures("api")
def test_a_batch_that_has_not_ended_is_an_error_that_says_where_it_stands() -> None:
    job = send()
    with pytest.raises(NotDoneError, match="validating") as caught:
        fetch_batch(job)
    assert caught.value.status == "validating"


def test_a_status_that_nobody_knows_is_no_end(api: FakeApi) -> None:
    job = send()
    api.end(status="archived")
    with pytest.raises(NotDoneError, match="archived"):
        fetch_batch(job)


def test_a_batch_that_was_refused_as_a_whole_is_an_error_that_lists_why(api: FakeApi) -> None:
    job = send()
    problems = [
        {"code": "invalid_url", "message": "The URL is wrong.", "param": "url", "line": 2},
        {"code": "token_limit_exceeded", "message": "Too many tokens.", "param": None, "line": None},
    ]
    api.end(status="failed", errors={"object": "list", "data": problems})
    for _ in range(2):
        with pytest.raises(BatchFailedError, match="another name") as caught:
            fetch_batch(job)
        assert caught.value.problems == (
            "line 2: The URL is wrong. (invalid_url)",
            "Too many tokens. (token_limit_exceeded)",
        )
    assert api.asked[2:] == ["get"]


def test_a_completed_batch_without_files_is_looked_at_again(api: FakeApi) -> None:
    job = send()
    api.end()
    early = fetch_batch(job)
    assert early["llm_status"].to_list() == ["pending"] * 3
    assert (
        early["llm_error"].to_list()
        == ["The batch has ended, but its result files are not there yet: fetch again."] * 3
    )
    api.complete()
    assert fetch_batch(job)["llm_status"].to_list() == ["ok"] * 3


def test_one_file_that_is_gone_does_not_cost_the_other(api: FakeApi) -> None:
    job = send()
    api.complete(output=[success(1)], error_file_id="file-gone")
    table = fetch_batch(job)
    assert table["llm_status"].to_list() == ["ok", "failed", "failed"]
    assert table["llm_error"][1] == "The batch has ended, and what there is of its results has no line for this row."


def test_files_that_are_all_gone_are_an_error(api: FakeApi) -> None:
    job = send()
    api.complete()
    api.files.clear()
    with pytest.raises(NotFoundError, match="No such File object"):
        fetch_batch(job)


def test_an_empty_error_file_is_no_error(api: FakeApi) -> None:
    job = send()
    api.complete(output=[success(row) for row in (1, 2, 3)], error=[])
    assert fetch_batch(job)["llm_status"].to_list() == ["ok"] * 3


def test_a_batch_of_elsewhere_is_fetched_by_its_id(api: FakeApi, home: Path) -> None:
    job = send()
    (batch_id,) = job.batch_ids
    api.complete(output=[success(2), success(1)], error=[failure(3, "batch_expired")])
    (home / "reviews").rename(home.parent / "elsewhere")
    table = fetch_batch(batch_id, provider="openai")
    assert dict(table.schema) == {"custom_id": pl.String} | NEW_COLUMNS
    assert table["custom_id"].to_list() == ["row-2", "row-1", "row-3"]
    assert table["llm_status"].to_list() == ["ok", "ok", "expired"]
    with using(play()):
        assert fetch_batch(batch_id).equals(table)
    assert sorted(path.name for path in (home / batch_id / "raw" / batch_id).iterdir()) == [
        "error.jsonl",
        "output.jsonl",
    ]


@pytest.mark.usefixtures("api")
def test_a_batch_of_elsewhere_that_has_not_ended_leaves_nothing_behind(home: Path) -> None:
    (batch_id,) = send().batch_ids
    (home / "reviews").rename(home.parent / "elsewhere")
    with pytest.raises(NotDoneError):
        fetch_batch(batch_id, provider=openai())
    assert list(home.iterdir()) == []


def test_the_id_of_a_batch_of_ours_finds_its_rows(api: FakeApi) -> None:
    (batch_id,) = send().batch_ids
    api.complete()
    assert fetch_batch(batch_id, provider=openai())["text"].to_list() == ROWS["text"].to_list()


def test_an_unknown_name_says_how_to_fetch_by_id(api: FakeApi) -> None:
    with pytest.raises(JobNotFoundError, match="provider="):
        fetch_batch("nothing")
    assert api.asked == []


def test_a_job_of_one_provider_is_not_looked_for_at_another(api: FakeApi) -> None:
    send()
    with pytest.raises(SettingError, match="was sent to openai, not to local"):
        fetch_batch("reviews", provider="local")
    assert api.asked == ["upload", "create"]


def test_a_job_that_was_not_sent_to_its_end_says_so(api: FakeApi, home: Path) -> None:
    send()
    folder = JobFolder(home / "reviews")
    record = folder.read()
    unsent = msgspec.structs.replace(record.remotes[0], batch=None)
    folder.write(msgspec.structs.replace(record, remotes=(unsent,)))
    with pytest.raises(JobError, match="not sent to its end"):
        fetch_batch("reviews")
    assert len(api.batches) == 1


def test_a_pandas_table_comes_back_as_one_with_its_columns_untouched(api: FakeApi) -> None:
    rows = pd.DataFrame(
        {"text": ["one", "two"], "kind": pd.Categorical(["x", "y"]), "when": pd.to_datetime(["2026-01-01", None])},
        index=["first", "second"],
    )
    send(rows)
    api.complete(output=[success(2)], error=[failure(1, "server_error")])
    table: object = fetch_batch("reviews")
    assert isinstance(table, pd.DataFrame)
    pd.testing.assert_frame_equal(table[rows.columns], rows)
    assert table["llm_status"].tolist() == ["failed", "ok"]
    assert str(table["llm_tokens_in"].dtype) == "Int64"
    assert table["llm_tokens_in"].tolist()[1] == 8


def test_an_arrow_table_comes_back_as_one(api: FakeApi) -> None:
    rows = pa.table({"text": ["one", "two"]})
    send(rows)
    api.complete()
    table: object = fetch_batch("reviews")
    assert isinstance(table, pa.Table)
    assert table.column_names == ["text", *NEW_COLUMNS]
    assert table["reply"].to_pylist() == ["SAY ONE", "SAY TWO"]


def test_a_list_of_texts_comes_back_as_a_table_of_prompts(api: FakeApi) -> None:
    job = send_batch(["a {b}", "c"], openai("m", api="chat_completions"))
    api.complete()
    assert fetch_batch(job)["prompt"].to_list() == ["a {b}", "c"]
    assert fetch_batch(job)["reply"].to_list() == ["A {B}", "C"]
