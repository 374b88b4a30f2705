"""Other content under the same name: what has changed is told in words, as far as it is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pytest

from tests.client.fake_api import FakeApi
from tests.client.tables import of
from tests.client.test_ready import line, lines
from tidyllm import chat, llm_message, openai, send_batch
from tidyllm.client.ready import prepare_ready, send_ready
from tidyllm.client.send_options import SendSettings
from tidyllm.client.table_files import TableFile
from tidyllm.core.errors import JobChangedError
from tidyllm.testing import SimulatedModel

MODEL = openai("m", api="chat_completions")
TABLE = pl.DataFrame({"text": ["one", "two", "three"], "stars": [1.5, None, 3.0]})
ASKED_TOO = "other too: it is made of these"
ASKED_ALONE = "other than then: what a function made, what files held, or what a list says"
OTHER = {
    "values": (
        TABLE.with_columns(text=pl.Series(["one", "zwei", "drei"])),
        {"data": "the same shape with other values; the first that differs is row 2: its 'text' was 'two', now 'zwei'"},
    ),
    "a number": (
        TABLE.with_columns(stars=pl.Series([1.5, 2.0, 3.0])),
        {"data": "the same shape with other values; the first that differs is row 2: its 'stars' was None, now 2.0"},
    ),
    "more rows": (
        pl.concat([TABLE, TABLE]),
        {"rows": "was 3, now 6", "data": "3 rows then, 6 now; the first 3 are the same"},
    ),
    "fewer rows": (
        TABLE.head(2),
        {"rows": "was 3, now 2", "data": "3 rows then, 2 now; the first 2 are the same"},
    ),
    "columns": (
        TABLE.rename({"stars": "grade"}).with_columns(more=1),
        {"columns": "'grade', 'more' added; 'stars' gone", "data": "what both have is the same"},
    ),
    "order": (TABLE.select("stars", "text"), {"columns": "in another order", "data": "what both have is the same"}),
}


def by_batch(table: object) -> object:
    return send_batch(table, MODEL, prompt="Say {text}", name="batch")  # type: ignore[call-overload]


KINDS: dict[str, Callable[[pl.DataFrame], object]] = {
    "polars": lambda table: table,
    "pandas": lambda table: table.to_pandas().set_index(pd.Index(range(7, 7 + table.height), name="id")),
    "pyarrow": lambda table: table.to_arrow(),
}


def changed(send: Callable[[Any], object], first: object, second: object) -> dict[str, str]:
    """Return the differences that are told where a second thing is sent under the name of the first."""
    send(first)
    with pytest.raises(JobChangedError) as told:
        send(second)
    for part, words in told.value.differences.items():
        assert f"  {part}: {words}" in str(told.value).splitlines()
    return dict(told.value.differences)


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", OTHER)
def test_a_batch_says_which_of_its_rows_have_changed(case: str, kind: str) -> None:
    second, told = OTHER[case]
    assert changed(by_batch, KINDS[kind](TABLE), KINDS[kind](second)) == told


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("case", OTHER)
def test_a_named_run_says_which_of_its_rows_have_changed(case: str, model: SimulatedModel) -> None:
    second, told = OTHER[case]
    found = changed(lambda table: chat(table, of(model), prompt="Say {text}", name="live"), TABLE, second)
    assert {part: words for part, words in found.items() if part != "asked"} == told
    assert found.get("asked", ASKED_TOO) == ASKED_TOO


@pytest.mark.parametrize("case", OTHER)
def test_without_the_rows_of_then_the_shape_is_told_alone(case: str, api: FakeApi, home: Path) -> None:
    by_batch(TABLE)
    (home / "batch" / "rows.parquet").unlink()
    second, told = OTHER[case]
    with pytest.raises(JobChangedError) as refused:
        by_batch(second)
    data = {"values": "the same shape with other values", "a number": "the same shape with other values"}
    assert refused.value.differences == told | {"data": data.get(case, "other than then")}
    assert len(api.batches) == 1


@pytest.mark.usefixtures("api")
def test_rows_that_somebody_has_changed_since_are_not_taken_for_those_of_then(home: Path) -> None:
    by_batch(TABLE)
    TABLE.with_columns(text=pl.lit("x"), llm_custom_id=pl.lit("row-1")).write_parquet(home / "batch" / "rows.parquet")
    with pytest.raises(JobChangedError) as refused:
        by_batch(OTHER["values"][0])
    assert refused.value.differences == {"data": "the same shape with other values"}


@pytest.mark.usefixtures("api")
def test_long_cells_are_shown_where_they_differ() -> None:
    dots = "." * 1_000
    first, second = (TABLE.with_columns(text=pl.Series(["one", "two", dots + end])) for end in ("then", "now" + dots))
    led_in, rest = "." * 20, "." * 37
    assert changed(by_batch, first, second) == {
        "data": "the same shape with other values; the first that differs is row 3: "
        f"its 'text' was …{led_in}then', now …{led_in}now{rest}…"
    }


@pytest.mark.usefixtures("api")
def test_a_batch_of_conversations_says_which_is_another() -> None:
    talks = [llm_message(text) for text in ("one", "two", "three")]
    found = changed(lambda some: send_batch(some, MODEL, name="talks"), talks, [*talks[:2], llm_message("drei")])
    assert found == {"asked": "other than then; the first that differs is conversation 3"}


@pytest.mark.usefixtures("home")
def test_a_named_run_over_a_list_says_how_many_there_were(model: SimulatedModel) -> None:
    texts = ["one", "two"]
    assert changed(lambda some: chat(some, of(model), name="list"), texts, ["one", "zwei"]) == {"asked": ASKED_ALONE}
    found = changed(lambda some: chat(some, of(model), name="list"), texts, ["one"])
    assert found == {"rows": "was 2, now 1", "asked": ASKED_ALONE}


@pytest.mark.usefixtures("api")
def test_what_a_function_makes_is_told_apart_from_the_rows() -> None:
    send_batch(TABLE, MODEL, prompt=lambda row: f"Say {row['text']}", name="made")
    with pytest.raises(JobChangedError) as refused:
        send_batch(TABLE, MODEL, prompt=lambda row: f"Tell {row['text']}", name="made")
    assert refused.value.differences == {"asked": ASKED_ALONE}


@pytest.mark.usefixtures("api")
def test_long_parts_are_shown_where_they_differ() -> None:
    prompt = "Please be so kind as to read all of the following, and then say what it means: {text}"
    send_batch(TABLE, MODEL, prompt=prompt, name="long")
    with pytest.raises(JobChangedError) as refused:
        send_batch(TABLE, MODEL, prompt=prompt.replace("means", "is about"), name="long")
    was, now = (f'…nd then say what it {verb}: {{text}}"' for verb in ("means", "is about"))
    assert refused.value.differences == {"prompt": f"was {was}, now {now}"}


@pytest.mark.usefixtures("api")
def test_ready_made_requests_that_have_changed_are_told_in_words() -> None:
    def send(file: TableFile) -> object:
        return send_ready(prepare_ready(file, openai(), settings=SendSettings(name="ready")))

    assert changed(send, lines(line("a")), lines(line("b"))) == {"requests": "other lines than then"}
