"""Jobs of which a file is gone or damaged: what is wrong is said, and nothing is sent."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.client.fake_api import FakeApi
from tests.client.test_fetch import failure, success
from tidyllm import chat, check_batch, fetch_batch, openai, retry_batch, send_batch
from tidyllm.client.calls import using
from tidyllm.core.errors import JobError
from tidyllm.testing import play

ROWS = pl.DataFrame({"text": ["one", "two"]})


@pytest.fixture
def folder(api: FakeApi, home: Path) -> Path:
    send_batch(ROWS, openai("m", api="chat_completions"), prompt="{text}", name="reviews")
    api.complete(output=[success(1)], error=[failure(2, "server_error")])
    fetch_batch("reviews")
    return home / "reviews"


def test_rows_that_cannot_be_read_are_told_and_where_the_answers_are(folder: Path) -> None:
    rows = folder / "rows.parquet"
    rows.write_bytes(b"no table")
    with pytest.raises(JobError, match=r"rows of the job are not to be had from .*answers are beside it"):
        fetch_batch("reviews")
    rows.unlink()
    with pytest.raises(JobError, match="rows of the job are not to be had from"):
        fetch_batch("reviews")


def test_rows_that_are_gone_are_written_down_anew_when_they_are_sent_again(api: FakeApi, folder: Path) -> None:
    (folder / "rows.parquet").unlink()
    send_batch(ROWS, openai("m", api="chat_completions"), prompt="{text}", name="reviews")
    assert fetch_batch("reviews")["text"].to_list() == ["one", "two"]
    assert len(api.batches) == 1


def test_without_its_requests_nothing_is_sent_again(api: FakeApi, folder: Path) -> None:
    (folder / "requests-1.jsonl").unlink()
    with pytest.raises(JobError, match=r"requests-1\.jsonl"):
        retry_batch("reviews")
    assert len(api.batches) == 1
    assert fetch_batch("reviews")["llm_status"].to_list() == ["ok", "failed"]


def test_a_result_file_that_was_removed_is_fetched_again_and_its_rows_are_not_sent_twice(
    api: FakeApi, folder: Path
) -> None:
    (output,) = folder.glob("raw/*/output.jsonl")
    output.unlink()
    assert fetch_batch("reviews")["llm_status"].to_list() == ["ok", "failed"]
    output.unlink()
    retry_batch("reviews")
    assert len(api.batches) == 2
    assert len((folder / "requests-2.jsonl").read_bytes().splitlines()) == 1


def test_a_file_that_is_gone_everywhere_does_not_cost_the_one_that_is_here(api: FakeApi, folder: Path) -> None:
    (error,) = folder.glob("raw/*/error.jsonl")
    error.unlink()
    api.files.clear()
    assert fetch_batch("reviews")["llm_status"].to_list() == ["ok", "failed"]
    with using(play()):
        assert fetch_batch("reviews")["llm_status"].to_list() == ["ok", "failed"]


def test_a_damaged_job_says_how_to_get_at_its_answers(api: FakeApi, folder: Path) -> None:
    (folder / "job.json").write_bytes(b"{")
    with pytest.raises(JobError, match=r"job\.json is damaged: .*fetch the batches by their ids"):
        send_batch(ROWS, openai("m", api="chat_completions"), prompt="{text}", name="reviews")
    assert len(api.batches) == 1


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("rows", "two"),
        ("rows", '"2"'),
        ("rows", "-1"),
        ("rows", "1"),
        ("parameters", "{"),
        ("parameters", '{"temperature":"warm"}'),
        ("parameters", "null"),
    ],
)
def test_a_part_that_was_edited_by_hand_is_a_damage_that_says_where_and_what_to_do(
    api: FakeApi, folder: Path, part: str, value: str
) -> None:
    file = folder / "job.json"
    record = json.loads(file.read_text())
    record["parts"][part] = value
    file.write_text(json.dumps(record))
    verbs: list[Callable[[], object]] = [
        lambda: fetch_batch("reviews"),
        lambda: check_batch("reviews"),
        lambda: retry_batch("reviews"),
        lambda: send_batch(ROWS, openai("m", api="chat_completions"), prompt="{text}", name="reviews"),
        lambda: chat(ROWS, openai("m", api="chat_completions"), prompt="{text}", name="reviews"),
    ]
    for verb in verbs:
        with pytest.raises(JobError, match=r"job\.json is damaged: .*Put the file back as it was") as told:
            verb()
        assert f"parts.{part}" in str(told.value) or "remotes" in str(told.value)
    assert len(api.batches) == 1


@pytest.mark.parametrize("rows", [[[1, 3]], [[0, 1]], [[2, 1]], [[1, 1]]])
def test_rows_of_a_batch_that_cannot_be_are_a_damage_too(folder: Path, rows: list[list[int]]) -> None:
    file = folder / "job.json"
    record = json.loads(file.read_text())
    record["remotes"][0]["rows"] = rows
    file.write_text(json.dumps(record))
    with pytest.raises(JobError, match=r"job\.json is damaged: .*remotes.*Put the file back as it was"):
        fetch_batch("reviews")


def test_requests_that_were_cut_off_are_told_and_nothing_is_sent_again(api: FakeApi, folder: Path) -> None:
    file = folder / "requests-1.jsonl"
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(JobError, match=r"requests-1\.jsonl has 1 requests, and the job says 2: put it back as it was"):
        retry_batch("reviews")
    assert len(api.batches) == 1
