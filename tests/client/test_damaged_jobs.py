"""Jobs of which a file is gone or damaged: what is wrong is said, and nothing is sent."""

from pathlib import Path

import polars as pl
import pytest

from tests.client.fake_api import FakeApi
from tests.client.test_fetch import failure, success
from tidyllm import fetch_batch, openai, retry_batch, send_batch
from tidyllm.core.errors import JobError

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


def test_without_its_requests_nothing_is_sent_again(api: FakeApi, folder: Path) -> None:
    (folder / "requests-1.jsonl").unlink()
    with pytest.raises(JobError, match=r"requests-1\.jsonl"):
        retry_batch("reviews")
    assert len(api.batches) == 1
    assert fetch_batch("reviews")["llm_status"].to_list() == ["ok", "failed"]
