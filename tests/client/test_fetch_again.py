"""Fetching what earlier versions, other machines and other kinds of table have left: typed, priced, and offline."""

import io
import sys
from pathlib import Path

import msgspec
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from tests.client.fake_api import FakeApi, success_line
from tests.lifecycle.clock import HastyClock
from tests.lifecycle.fate import OK, VECTOR, Fate
from tests.lifecycle.openai import FAKE
from tidyllm import Model, fetch_batch, list_batches, openai, retry_batch, send_batch
from tidyllm.client.calls import using
from tidyllm.client.schemas import field_int, tidyllm_schema
from tidyllm.core.errors import SettingError
from tidyllm.core.reply import Reply
from tidyllm.provider import Provider
from tidyllm.testing import play
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys

MODEL = openai("m", api="chat_completions")
PRICED = openai("gpt-4o-mini", api="chat_completions", max_tokens=100)
SCHEMA = tidyllm_schema("Stars", stars=field_int())


class Broken:
    """A dialect of chat that reads nothing."""

    def __init__(self, chat: object) -> None:
        self._chat = chat

    def __getattr__(self, name: str) -> object:
        return getattr(self._chat, name)

    def read(self, body: bytes) -> Reply:
        raise ValueError(f"no parser for {len(body)} bytes")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def broken(model: Model) -> Model:
    provider: Provider = msgspec.structs.replace(
        model.provider,
        batch_chats=tuple(Broken(chat) for chat in model.provider.batch_chats),
    )
    return msgspec.structs.replace(model, provider=provider)


def test_a_broken_parser_leaves_every_raw_answer_on_disk_and_another_version_reads_them(api: FakeApi) -> None:
    job = send_batch(["one", "two"], broken(MODEL), name="reviews")
    api.complete()
    table = fetch_batch(job)
    assert table["llm_status"].to_list() == ["invalid", "invalid"]
    assert "in the job's folder, but this version of tidyllm cannot read it: ValueError" in table["llm_error"][0]
    (raw,) = (job.folder / "raw").glob("*/*")
    assert raw.read_bytes() == api.files[str(list(api.batches.values())[-1]["output_file_id"])]
    with using(play()):
        assert fetch_batch("reviews")["reply"].to_list() == ["ONE", "TWO"]


def test_a_broken_parser_costs_nothing_twice(api: FakeApi) -> None:
    job = send_batch(["one"], broken(MODEL), name="reviews")
    api.complete()
    assert retry_batch(job) == job
    assert len(api.batches) == 1


TYPED = {
    "text": ["one", "two", None],
    "whole": [1, None, 3],
    "part": [1.5, None, 2.5],
    "yes": [True, None, False],
}


@pytest.mark.parametrize("all_failed", [True, False])
def test_a_polars_table_keeps_its_types_and_the_new_columns_have_those_of_the_schema(
    api: FakeApi, *, all_failed: bool
) -> None:
    rows = pl.DataFrame(TYPED).with_columns(
        pl.Series("kind", ["a", "b", None], dtype=pl.Enum(["a", "b"])),
        pl.Series("when", [0, None, 1], dtype=pl.Datetime("ms", "Europe/Berlin")),
        pl.Series("list", [[1], [], None], dtype=pl.List(pl.Int8)),
        pl.Series("small", [1, 2, None], dtype=pl.UInt16),
    )
    table = _round_trip(api, rows, all_failed=all_failed)
    assert isinstance(table, pl.DataFrame)
    assert table.columns[: rows.width] == rows.columns
    assert table.select(rows.columns).equals(rows)
    assert table.select(rows.columns).schema == rows.schema
    assert table.schema["stars"] == pl.Int64
    assert table["stars"].null_count() == 3
    assert table.schema["llm_tokens_in"] == pl.Int64
    assert table.schema["llm_cost"] == pl.Float64


@pytest.mark.parametrize("all_failed", [True, False])
def test_a_pandas_table_keeps_its_types_and_its_index(api: FakeApi, *, all_failed: bool) -> None:
    rows = pd.DataFrame(
        {
            "text": pd.Series(["one", "two", "three"], dtype="string"),
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "yes": pd.array([True, None, False], dtype="boolean"),
            "part": [1.5, None, 2.5],
            "when": pd.to_datetime(["2026-01-01", None, "2026-01-02"], utc=True),
        },
        index=pd.Index([30, 10, 20], name="id"),
    )
    table = _round_trip(api, rows, all_failed=all_failed)
    assert isinstance(table, pd.DataFrame)
    pd.testing.assert_frame_equal(table[rows.columns], rows)
    assert str(table["stars"].dtype) == "Int64"
    assert table["stars"].isna().all()
    assert str(table["llm_tokens_in"].dtype) == "Int64"
    assert str(table["llm_cost"].dtype) == "float64"


@pytest.mark.parametrize("all_failed", [True, False])
def test_an_arrow_table_keeps_its_types(api: FakeApi, *, all_failed: bool) -> None:
    rows = pa.table(
        {
            "text": pa.array(["one", "two", None]),
            "small": pa.array([1, None, 3], pa.int8()),
            "when": pa.array([0, None, 1], pa.timestamp("ms", "UTC")),
            "kind": pa.array(["a", "b", None]).dictionary_encode(),
            "list": pa.array([[1], [], None], pa.list_(pa.int16())),
        }
    )
    table = _round_trip(api, rows, all_failed=all_failed)
    assert isinstance(table, pa.Table)
    assert table.select(rows.column_names).equals(rows)
    assert table.schema.field("stars").type == pa.int64()
    assert table["stars"].null_count == 3


def test_a_list_of_a_thousand_batches_comes_in_pages_and_shows_how_many_there_are(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_batch(["one"], MODEL, name="reviews")
    (batch,) = api.batches.values()
    api.batches = {f"batch_{number}": batch | {"id": f"batch_{number}"} for number in range(1_050)}
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    api.asked.clear()
    assert list_batches(openai())["batch_id"].to_list() == list(reversed(api.batches))
    assert api.asked == ["page"] * 12
    assert "1,050 batches" in terminal.getvalue()


def test_a_batch_is_estimated_refused_and_billed_at_half_the_list_price(api: FakeApi) -> None:
    plan = send_batch(["one", "two"], PRICED, name="reviews", dry_run=True)
    assert plan.cost_in == pytest.approx(plan.tokens_in * 0.15e-6 / 2)
    with pytest.raises(SettingError, match=r"2 rows may cost .* more than budget=1e-05.*up to 100 tokens"):
        send_batch(["one", "two"], PRICED, name="reviews", budget=0.00001)
    assert api.asked == []
    job = send_batch(["one", "two"], PRICED, name="reviews", budget=0.01)
    lines = msgspec.json.decode(msgspec.json.encode([success_line(line) for line in api.lines()]))
    for line in lines:
        line["response"]["body"]["model"] = "gpt-4o-mini"
    api.complete(output=lines)
    cost = fetch_batch(job)["llm_cost"].to_list()
    assert cost == [pytest.approx((8 * 0.15e-6 + 3 * 0.60e-6) / 2)] * 2


def test_where_no_price_of_batches_is_known_there_is_none(api: FakeApi) -> None:
    provider = msgspec.structs.replace(PRICED.provider, batch_price=None)
    model = msgspec.structs.replace(PRICED, provider=provider)
    assert send_batch(["one"], model, name="reviews", dry_run=True).cost_in is None
    with pytest.raises(SettingError, match=r"No price is known of .* in a batch"):
        send_batch(["one"], model, name="reviews", budget=10)
    job = send_batch(["one"], model, name="reviews")
    api.complete()
    assert fetch_batch(job)["llm_cost"].to_list() == [None]


@pytest.mark.parametrize("api_name", ["chat_completions", "responses", "embeddings"])
def test_a_batch_of_elsewhere_is_read_by_what_it_asked_and_the_second_time_offline(home: Path, api_name: str) -> None:
    fake = FAKE(HastyClock())
    fate: Fate = VECTOR([1.0, 2.0]) if api_name == "embeddings" else OK("Yes.")
    with using(Transport(sender=fake, keys=Keys("key"), clock=fake.clock)):
        if api_name == "embeddings":
            job = send_batch(["one"], openai("text-embedding-3-small"), embed="prompt", name="here")
        else:
            job = send_batch(["one"], openai("gpt-6-luna", api=api_name), name="here")
        (batch_id,) = job.batch_ids
        fake.end(batch_id, {"row-1": fate})
        (home / "here").rename(home.parent / "elsewhere")
        table = fetch_batch(batch_id, "openai")
    with using(play()):
        assert fetch_batch(batch_id, "openai").equals(table)
        assert fetch_batch(batch_id).equals(table)
    assert table["llm_status"].to_list() == ["ok"]
    if api_name == "embeddings":
        assert table["embeddings"].to_list() == [[1.0, 2.0]]
    else:
        assert table["reply"].to_list() == ["Yes."]


def test_a_part_of_a_job_can_be_fetched_while_the_rest_runs(api: FakeApi) -> None:
    job = send_batch(["one", "two"], MODEL, name="reviews", queue_tokens=60)
    assert len(job.batch_ids) == 1
    for given in (job, "reviews"):
        assert fetch_batch(given, partial=True)["llm_status"].to_list() == ["pending", "pending"]
    api.complete()
    table = fetch_batch(job, partial=True)
    assert table["reply"].to_list() == ["ONE", None]
    assert table["llm_status"].to_list() == ["ok", "pending"]
    assert table["llm_error"][1] == "This row was not sent yet."


def _round_trip(api: FakeApi, rows: object, *, all_failed: bool) -> object:
    def said(row: object) -> str:
        return f"Rate {row}"

    send_batch(rows, MODEL, prompt=said, schema=SCHEMA, name="reviews")  # type: ignore[call-overload]
    failed = [
        {"id": "b", "custom_id": f"row-{number}", "response": None, "error": {"code": "server_error", "message": "No."}}
        for number in (1, 2, 3)
    ]
    if all_failed:
        api.complete(error=failed)  # type: ignore[arg-type]  # objects all the same
    else:
        api.complete()  # The texts fit no schema.
    return fetch_batch("reviews")
