"""Tables at the edge: reading any kind, hashing, and the columns of answers."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from tidyllm.client.batch_frame import answer_columns, answered_frame, loose_frame
from tidyllm.client.frame import batches_frame, read_table
from tidyllm.client.jobs import JobRecord
from tidyllm.client.rows import TableKind
from tidyllm.core.batch import Batch, BatchStatus, RequestCounts
from tidyllm.core.errors import SettingError
from tidyllm.core.reply import Answer, Outcome, Reply

VALUES = {"text": ["a", None], "n": [1, 2]}


def test_the_rows_are_the_same_whatever_kind_of_table_they_come_in() -> None:
    tables = [read_table(make(VALUES)) for make in (pl.DataFrame, pd.DataFrame, pa.table)]
    assert [table.kind for table in tables] == ["polars", "pandas", "pyarrow"]
    assert [list(table.rows()) for table in tables] == [[{"text": "a", "n": 1}, {"text": None, "n": 2}]] * 3
    assert len({table.digest() for table in tables}) == 1


def test_the_digest_depends_on_names_values_and_order() -> None:
    tables = [
        pl.DataFrame(VALUES),
        pl.DataFrame({"text": ["a", "b"], "n": [1, 2]}),
        pl.DataFrame(VALUES).reverse(),
        pl.DataFrame(VALUES).rename({"n": "m"}),
        pl.DataFrame(VALUES).select("n", "text"),
    ]
    assert len({read_table(table).digest() for table in tables}) == len(tables)


def test_the_digest_tells_apart_what_json_does_not() -> None:
    infinite = [pl.DataFrame({"x": [value]}) for value in (float("inf"), float("-inf"), float("nan"), None)]
    moment = pl.DataFrame({"x": ["2020-01-01T00:00:00"]})
    tables = [*infinite, moment, moment.with_columns(pl.col("x").str.to_datetime())]
    assert len({read_table(table).digest() for table in tables}) == len(tables)


def test_every_usual_type_can_be_hashed() -> None:
    row = {
        "a": True,
        "b": 1.5,
        "c": date(2026, 1, 1),
        "d": datetime(2026, 1, 1, tzinfo=UTC),
        "e": Decimal("1.10"),
        "f": b"x",
        "g": [1, 2],
        "h": {"x": 1},
        "i": float("nan"),
    }
    assert len(read_table(pl.DataFrame([row])).digest()) == 64


def test_what_no_table_can_keep_is_refused() -> None:
    with pytest.raises(SettingError, match="cannot be written down"):
        read_table(pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object)})).digest()
    with pytest.raises(SettingError, match="does not go together"):
        read_table(pd.DataFrame({"x": [1, "a"]}))
    with pytest.raises(SettingError, match="names of columns must be text"):
        read_table(pd.DataFrame({0: [1]}))
    with pytest.raises(SettingError, match="no table"):
        read_table(pd.DataFrame(np.zeros((1, 2)), columns=["a", "a"]))


def a_record(rows: int, kind: TableKind = "polars") -> JobRecord:
    return JobRecord(
        name="reviews",
        key="",
        parts={"rows": str(rows)},
        provider="openai",
        base_url="https://api.openai.com/v1",
        model="m",
        kind=kind,
        created_at=0.0,
        remotes=(),
    )


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame, pa.table], ids=["polars", "pandas", "pyarrow"])
def test_answers_are_joined_by_id_and_come_back_in_the_same_kind(make: type, tmp_path: Path) -> None:
    rows = make(VALUES)
    table = read_table(rows)
    # As after somebody has sorted the rows on disk.
    table.save(tmp_path / "rows.parquet", ["row-2", "row-1"])
    answers = [
        (1, Answer(custom_id="row-1", outcome=Outcome.FAILED, error="no")),
        (2, Answer(custom_id="row-2", outcome=Outcome.OK, reply=Reply(text="A", tokens_in=3))),
    ]
    joined: object = answered_frame(tmp_path / "rows.parquet", a_record(2, kind=table.kind), answers=answers)
    assert type(joined) is type(rows)
    back = pl.DataFrame(joined)  # type: ignore[arg-type]
    assert back.select("text", "n", "reply", "llm_status", "llm_tokens_in").rows() == [
        ("a", 1, "A", "ok", 3),
        (None, 2, None, "failed", None),
    ]
    assert len(back.columns) == 13


def test_answers_are_typed_even_when_there_are_none() -> None:
    answer = Answer(custom_id="row-1", outcome=Outcome.OK, reply=Reply(text="A", tokens_in=3, tokens_out=1))
    assert answer_columns(a_record(0), []).schema == answer_columns(a_record(1), [(1, answer)]).schema


def test_the_providers_name_for_the_answer_comes_before_its_name_for_the_request() -> None:
    answers = [
        Answer(custom_id="x", outcome=Outcome.OK, reply=Reply(text="A", id="chatcmpl-1"), request_id="req_1"),
        Answer(custom_id="y", outcome=Outcome.FAILED, request_id="req_2"),
    ]
    assert loose_frame(answers, a_record(2))["llm_id"].to_list() == ["chatcmpl-1", "req_2"]


def test_times_of_batches_are_utc_and_missing_ones_null() -> None:
    batch = Batch(id="b", status=BatchStatus.VALIDATING, counts=RequestCounts(), created_at=0)
    row = batches_frame([batch], provider="openai").row(0, named=True)
    assert row["created_at"] == datetime(1970, 1, 1, tzinfo=UTC)
    assert row["expires_at"] is None
