"""Runs over many rows that meet what is odd or wrong: what was paid for is kept, and what cannot be is said."""

import asyncio
import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tidyllm import achat, cancel_batch, chat, check_batch, fetch_batch, local, openai, using, wait_batch
from tidyllm.client.run_journal import RunJournal
from tidyllm.core.errors import JobError, JobNotFoundError, JournalError, SettingError
from tidyllm.core.wire import Request, Response
from tidyllm.provider import Model
from tidyllm.testing import SimulatedModel, simulated_model

ANSWER = "Simulated answer to: "


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIDYLLM_HOME", str(tmp_path / "jobs"))
    return tmp_path / "jobs"


@pytest.fixture
def model() -> Iterator[SimulatedModel]:
    with simulated_model() as running:
        yield running


def of(running: SimulatedModel, **options: Any) -> Model:
    return local("m", base_url=running.base_url, **options)


def rows(count: int) -> pl.DataFrame:
    return pl.DataFrame({"text": [f"row {number}" for number in range(count)], "n": range(count)})


class Echo:
    """A model that says what it was asked."""

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        assert isinstance(request.body, bytes)
        message = {"content": json.loads(request.body)["messages"][-1]["content"]}
        usage = {"prompt_tokens": 10, "completion_tokens": 100}
        body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
        return Response(status=200, body=json.dumps(body).encode())


class Breaking(Echo):
    """A model whose sender is at its end after so many answers."""

    def __init__(self, *, after: int) -> None:
        self._left = after

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        self._left -= 1
        if self._left < 0:
            raise SettingError("The sender is gone.")
        return await super().send(request, headers)


def test_a_column_that_nothing_asks_for_may_hold_anything(model: SimulatedModel) -> None:
    table = pl.DataFrame({"text": ["a"], "any": pl.Series([object()], dtype=pl.Object)})
    assert chat(table, of(model), prompt="{text}")["llm_status"].to_list() == ["ok"]


def test_a_schema_may_have_any_field() -> None:
    with using(Echo()):
        schema = {"type": "object", "properties": {"number": {"type": "integer"}}}
        rated = chat(pl.DataFrame({"text": ['{"number": 4}']}), local("m"), prompt="{text}", schema=schema)
    assert rated["number"].to_list() == [4]


@dataclass
class Strict:
    stars: int

    def __post_init__(self) -> None:
        if self.stars > 5:
            raise ZeroDivisionError("too many stars")


def test_an_answer_that_the_schema_s_class_does_not_take_costs_its_row_alone() -> None:
    with using(Echo()):
        table = pl.DataFrame({"text": ['{"stars": 5}', '{"stars": 6}', '{"stars": 1}']})
        rated = chat(table, local("m"), prompt="{text}", schema=Strict)
    assert rated["stars"].to_list() == [5, None, 1]
    assert rated["llm_status"].to_list() == ["ok", "invalid", "ok"]
    assert "too many stars" in str(rated["llm_error"][1])


def test_answers_that_come_after_the_time_was_up_are_kept(home: Path) -> None:
    with simulated_model() as model:
        model.hold()
        first = chat(rows(5), of(model), prompt="{text}", name="ratings", timeout=0.2)
        assert first["llm_status"].to_list() == ["pending"] * 5
        model.release()
        until = time.monotonic() + 30
        # They were paid for, but their file had been closed.
        while len(list(RunJournal(home / "ratings" / "answers").earlier())) < 5:
            assert time.monotonic() < until
        again = chat(rows(5), of(model), prompt="{text}", name="ratings")
        assert again["reply"].to_list() == [ANSWER + text for text in again["text"]]
        assert model.witness.counts().received == 5


def test_answers_whose_questions_are_unknown_are_given_to_nobody(model: SimulatedModel, home: Path) -> None:
    chat(rows(3), of(model), prompt="{text}", name="ratings")
    (home / "ratings" / "job.json").unlink()
    with pytest.raises(JobError, match="move the folder away"):
        chat(rows(3).reverse(), of(model), prompt="{text}", name="ratings")


@pytest.mark.parametrize("verb", [fetch_batch, check_batch, cancel_batch, wait_batch])
def test_a_run_is_not_taken_for_a_batch(model: SimulatedModel, verb: Callable[[str], object]) -> None:
    chat(rows(3), of(model), prompt="{text}", name="ratings")
    with pytest.raises(JobError, match="no batch but a run of chat"):
        verb("ratings")


def test_what_came_before_a_run_broke_off_is_in_the_exception(
    model: SimulatedModel, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with using(Breaking(after=200)), pytest.raises(SettingError, match="gone") as stopped:
        chat(rows(201), local("m"), prompt="{text}", max_concurrency=1)
    assert (stopped.value.results["llm_status"] == "ok").sum() >= 199  # type: ignore[attr-defined]
    chat(rows(3), of(model), prompt="{text}", name="ratings")
    for path in (home / "ratings" / "answers").iterdir():
        path.unlink()
    (home / "ratings" / "answers").rmdir()
    (home / "ratings" / "answers").write_text("A file stands where the folder is to be.")
    with pytest.raises(JournalError) as unkept:
        asyncio.run(achat(rows(3), of(model), prompt="{text}", name="ratings"))
    assert unkept.value.results.height == 3  # type: ignore[attr-defined]
    gc.collect()
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize(
    "verb", [check_batch, fetch_batch, lambda name: chat(rows(3), local("m"), prompt="{text}", name=name)]
)
def test_a_home_that_cannot_be_one_is_told_with_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, verb: Callable[[str], object]
) -> None:
    home.write_text("no folder")
    for place in (home, home / "below", Path("/proc/nowhere"), home.parent / ("long" * 100)):
        monkeypatch.setenv("TIDYLLM_HOME", str(place))
        with pytest.raises(JobError, match="ratings") as refused:
            verb("ratings")
        assert "TIDYLLM_HOME" in str(refused.value) or isinstance(refused.value, JobNotFoundError)


def test_a_budget_holds_where_rows_are_asked_twice() -> None:
    asked = openai("gpt-4o-mini", api_key="k", max_tokens=100, api="chat_completions")
    with using(Echo()):
        rated = chat(rows(200), asked, prompt="{text}", schema=bool, reask=True, budget=0.0005)
    assert 0 < rated["llm_cost"].sum() <= 0.0005
