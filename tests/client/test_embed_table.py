"""A table's texts into vectors beside them: every kind of table, and rows for which there is no vector."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import assert_type

import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

import tidyllm as tl
from tidyllm import aembed, embed, openai, using
from tidyllm.core.errors import MissingKeyError, PartlyFailedError, SettingError
from tidyllm.core.wire import Request, Response
from tidyllm.providers.voyage import voyage
from tidyllm.testing import simulated_model
from tidyllm.transport.concurrency import LIMIT_FIRST
from tidyllm.transport.drive import Transport

VALUES = {"text": ["aa", None, "b", "", "aa"], "n": [1, 2, 3, 4, 5]}
VECTORS = [[2.0, 0.5], None, [1.0, 0.5], None, [2.0, 0.5]]
KINDS = pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame, pa.table], ids=["polars", "pandas", "pyarrow"])


class Measurer:
    """A model whose vectors are a text's length and 0.5; how it answers otherwise is decided by a request's texts."""

    def __init__(self, **instead: Callable[[list[str]], Response]) -> None:
        self.asked: list[list[str]] = []
        self._instead = instead
        """By the beginning of a request's first text."""

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        assert isinstance(request.body, bytes)
        texts = json.loads(request.body)["input"]
        self.asked.append(texts)
        for beginning, answer in self._instead.items():
            if texts[0].startswith(beginning):
                return answer(texts)
        return vectors(texts)


def vectors(texts: list[str], *more: float) -> Response:
    data = [{"embedding": [len(text), 0.5, *more], "index": index} for index, text in enumerate(texts)]
    return Response(status=200, body=json.dumps({"data": data[::-1]}).encode())


def refused(_: list[str], status: int = 400) -> Response:
    return Response(status=status, body=json.dumps({"error": {"message": "no such thing"}}).encode())


def rows_of(beginning: str, count: int = 1000) -> list[str]:
    """Return as many texts as one request to Voyage holds."""
    return [f"{beginning}{number:04}" for number in range(count)]


@KINDS
def test_vectors_stand_beside_a_tables_own_columns_in_a_table_of_its_kind(make: type) -> None:
    measurer = Measurer()
    table = make(VALUES)
    with using(measurer):
        done = embed(table, openai())
    assert type(done) is type(table)
    found = pl.from_pandas(done) if isinstance(done, pd.DataFrame) else pl.DataFrame(done)
    assert found.columns == ["text", "n", "embeddings", "llm_status", "llm_error"]
    assert found.select("text", "n").to_dict(as_series=False) == VALUES
    assert found.schema["embeddings"] == pl.Array(pl.Float32, 2)
    assert found["embeddings"].to_list() == VECTORS
    assert found["llm_status"].to_list() == ["ok", None, "ok", None, "ok"]
    assert found["llm_error"].null_count() == 5
    assert measurer.asked == [["aa", "b"]]


@KINDS
def test_a_table_without_a_text_comes_back_with_typed_columns(make: type) -> None:
    measurer = Measurer()
    nothing = pa.array([None], pa.string()) if make is pa.table else [None]
    with using(measurer):
        done = embed(make({"text": nothing}), openai(dimensions=3), column="text")
        none = embed(pl.DataFrame(schema={"text": pl.String}), openai())
    found = pl.from_pandas(done) if isinstance(done, pd.DataFrame) else pl.DataFrame(done)
    assert found.row(0) == (None, None, None, None)
    assert found.schema["embeddings"] == pl.Array(pl.Float32, 3)
    assert dict(none.schema) == {
        "text": pl.String(),
        "embeddings": pl.Array(pl.Float32, 0),
        "llm_status": pl.String(),
        "llm_error": pl.String(),
    }
    assert measurer.asked == []


def test_the_types_of_each_kind_are_its_own() -> None:
    with using(Measurer()):
        arrow = embed(pa.table(VALUES), openai())
        pandas = embed(pd.DataFrame(VALUES, index=[7, 7, 8, 9, 9]), openai())
    assert arrow.schema.field("embeddings").type == pa.list_(pa.float32(), 2)
    assert pandas["embeddings"].dtype == pd.ArrowDtype(pa.list_(pa.float32(), 2))
    assert pandas["embeddings"].isna().tolist() == [False, True, False, True, False]
    assert pandas.index.tolist() == [7, 7, 8, 9, 9]


@pytest.mark.parametrize(
    "make", [pl.Series, pd.Series, pa.array, lambda values: pa.chunked_array([values[:1], values[1:]])]
)
def test_a_column_is_like_a_list_and_gives_a_table_of_its_library(make: Callable[[list[str | None]], object]) -> None:
    with using(Measurer()):
        done = embed(make(["aa", "b"]), openai())  # type: ignore[call-overload]
        with pytest.raises(SettingError, match="Text 2 is no text but NoneType"):
            embed(make(["aa", None]), openai())  # type: ignore[call-overload]
    assert type(done).__module__.partition(".")[0] == type(make(["a", "b"])).__module__.partition(".")[0]
    found = pl.from_pandas(done) if isinstance(done, pd.DataFrame) else pl.DataFrame(done)
    assert found.rows() == [("aa", [2.0, 0.5]), ("b", [1.0, 0.5])]


def test_a_pandas_column_keeps_its_index() -> None:
    with using(Measurer()):
        done = embed(pd.Series(["aa", "b"], index=[5, 3], name="text"), openai())
    assert done.index.tolist() == [5, 3]


@pytest.mark.parametrize(
    ("table", "column", "why"),
    [
        (pl.DataFrame({"a": ["x"], "b": ["y"], "n": [1]}), None, r"2 columns .* column=\. The columns are: a, b, n\."),
        (pl.DataFrame({"n": [1], "m": [2.0]}), None, r"No column .* The columns are: n, m\."),
        (pl.DataFrame({"a": ["x"]}), "b", r"no column 'b'\. The columns are: a\."),
        (pl.DataFrame({"n": [1]}), "n", "'n' holds Int64, and no texts"),
        (pl.DataFrame({"a": ["x"], "llm_status": ["ok"]}), "a", "columns llm_status would collide"),
        (pd.DataFrame({"a": ["x"], "embeddings": [1]}), "a", "columns embeddings would collide"),
        (pd.DataFrame({"a": [1, "x"]}), "a", "does not go together"),
        (pl.LazyFrame({"a": ["x"]}), None, "no table of polars, pandas or Arrow, but"),
        (pl.Series(["x"]), "a", "one column alone"),
        (["x"], "a", "this is no table"),
        (pl.Series([1]), None, "holds Int64, and no texts"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_before_anything_is_sent(
    table: object, column: str | None, why: str
) -> None:
    measurer = Measurer()
    with using(measurer), pytest.raises(SettingError, match=why):
        embed(table, openai(), column=column)  # type: ignore[call-overload]
    assert measurer.asked == []


def test_what_becomes_of_failures_is_one_of_two_things() -> None:
    measurer = Measurer()
    with using(measurer), pytest.raises(SettingError, match='on_error= is "row" or "raise", not \'ignore\''):
        embed(pl.DataFrame({"a": ["x"]}), openai(), on_error="ignore")  # type: ignore[call-overload]
    assert measurer.asked == []


def test_texts_may_be_categories() -> None:
    table = pl.DataFrame({"a": ["x", None, "x"]}, schema={"a": pl.Categorical})
    with using(Measurer()):
        done = embed(table, openai(), column="a")
    assert done["a"].dtype == pl.Categorical
    assert done["embeddings"].to_list() == [[1.0, 0.5], None, [1.0, 0.5]]


def test_where_a_request_fails_its_rows_say_why_and_the_others_have_vectors(caplog: pytest.LogCaptureFixture) -> None:
    texts = [*rows_of("good"), None, *rows_of("bad"), *rows_of("long"), *rows_of("odd", 10), "good0007", "bad0001"]
    measurer = Measurer(bad=refused, long=lambda texts: vectors(texts[1:]), odd=lambda texts: vectors(texts, 1.0))
    with using(measurer), caplog.at_level(logging.WARNING, "tidyllm"):
        done = embed(pl.DataFrame({"text": texts}), voyage())
    assert done["text"].to_list() == texts
    counts = dict(done.group_by("llm_status").len().iter_rows())
    assert counts == {"ok": 1001, None: 1, "failed": 1001, "invalid": 1010}
    assert done.filter(pl.col("llm_status") == "ok")["embeddings"].null_count() == 0
    assert done.filter(pl.col("llm_status") != "ok")["embeddings"].null_count() == 2011
    assert done.row(-2)[1:] == ([8.0, 0.5], "ok", None)
    assert "no such thing" in done.row(-1, named=True)["llm_error"]
    assert "999 for 1000 texts" in done.filter(pl.col("text") == "long0000")["llm_error"].item()
    assert "3 numbers, and with 2" in done.filter(pl.col("text") == "odd0000")["llm_error"].item()
    assert [record.message for record in caplog.records] == [
        "Of 3,013 rows 1 have nothing that a vector could stand for and 2,011 got no vector, the first because: "
        + done.row(-1, named=True)["llm_error"]
    ]


def test_where_no_request_is_answered_every_row_says_so() -> None:
    with using(Measurer(a=refused)):
        done = embed(pl.DataFrame({"text": ["a", "b"]}), openai(dimensions=2))
    assert done.schema["embeddings"] == pl.Array(pl.Float32, 2)
    assert done["llm_status"].to_list() == ["failed", "failed"]


def test_a_failure_is_an_exception_with_the_table_where_that_is_wanted() -> None:
    table = pl.DataFrame({"text": rows_of("good") + rows_of("bad")})
    with (
        using(Measurer(bad=refused)),
        pytest.raises(PartlyFailedError, match=r"Of 2,000 rows 1,000 .* no such") as caught,
    ):
        embed(table, voyage(), on_error="raise")
    (done,) = caught.value.results
    assert isinstance(done, pl.DataFrame)
    assert done["llm_status"].value_counts(sort=True)["count"].to_list() == [1000, 1000]
    with using(Measurer()):
        assert embed(table.head(3), voyage(), on_error="raise").height == 3


def test_ctrl_c_keeps_the_vectors_that_have_come() -> None:
    class Interrupted(Measurer):
        async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
            if len(self.asked) == LIMIT_FIRST:  # it is only sent when another was answered
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()
            return await super().send(request, headers)

    texts = rows_of("good", 1000 * LIMIT_FIRST + 1)
    with using(Interrupted()), pytest.raises(KeyboardInterrupt) as caught:
        embed(pl.DataFrame({"text": texts}), voyage())
    *before, last = caught.value.results  # type: ignore[attr-defined]
    assert last is None
    answered = [table for table in before if table is not None]
    assert answered[0].columns == ["input", "embeddings"]
    assert {table.height for table in answered} == {1000}
    assert "in the exception's `results`" in caught.value.__notes__[0]


def test_what_would_befall_every_row_alike_is_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    table = pl.DataFrame({"text": ["a"]})
    with using(Measurer()), pytest.raises(SettingError, match="embed takes no temperature="):
        embed(table, openai(temperature=0))
    with using(Transport(sender=Measurer())), pytest.raises(MissingKeyError):
        embed(table, openai())


def test_a_dry_run_of_a_table_has_a_preview_for_each_request() -> None:
    with using(Measurer()):
        shown = embed(pl.DataFrame(VALUES), openai(), dry_run=True)
    assert [one.body["input"] for one in shown if isinstance(one.body, dict)] == [["aa", "b"]]


def test_the_asynchronous_twin_takes_tables_too() -> None:
    async def main() -> None:
        with using(Measurer(bad=refused)):
            done = assert_type(await aembed(pl.DataFrame({"text": ["aa", None]}), openai()), pl.DataFrame)
            shown = assert_type(await aembed(pl.DataFrame({"text": ["aa"]}), openai(), dry_run=True), list[tl.Preview])
            with pytest.raises(PartlyFailedError):
                await aembed(pl.DataFrame({"text": ["bad"]}), openai(), on_error="raise")
        assert done["embeddings"].to_list() == [[2.0, 0.5], None]
        assert len(shown) == 1

    asyncio.run(main())


def test_vectors_of_the_simulated_model_stand_beside_their_texts() -> None:
    texts = [f"text {number % 1500}" for number in range(3000)]
    with simulated_model() as model:
        provider = tl.chat_completions("m", base_url=model.base_url, dimensions=16)
        table = embed(pl.DataFrame({"text": texts}), provider)
        alone = embed(texts[1234], provider)
    assert table["embeddings"][1234].to_list() == alone["embeddings"][0].to_list()
    assert table["embeddings"][2734].to_list() == alone["embeddings"][0].to_list()
    assert table["embeddings"].n_chunks() == 1


MEMORY = """
import base64, json, resource, sys
import polars as pl
from tidyllm import embed, voyage, using
from tidyllm.core.wire import Response

LENGTH, ROWS = 1024, 40_000
VECTOR = base64.b64encode(bytes(4 * LENGTH)).decode()

class Zeros:
    async def send(self, request, headers=()):
        count = len(json.loads(request.body)["input"])
        body = json.dumps({"data": [{"embedding": VECTOR, "index": index} for index in range(count)]}).encode()
        return Response(status=200, body=body)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

with using(Zeros()):
    embed(["warm"], voyage())
    before = peak()
    table = embed(pl.DataFrame({"text": [str(number) for number in range(ROWS)]}), voyage())
assert table["embeddings"].null_count() == 0
print((peak() - before) / (4 * LENGTH * ROWS))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it does not tell the peak of memory")
def test_vectors_are_in_memory_no_more_than_twice() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 2.5
