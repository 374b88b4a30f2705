"""Runs with a name: jobs on disk, which go on where they were stopped, killed or failed."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from tests.client.tables import ANSWER, of, rows, said
from tidyllm import chat, openai
from tidyllm.core.errors import JobChangedError, JobLockedError
from tidyllm.testing import Behavior, SimulatedModel, simulated_model

pytestmark = pytest.mark.usefixtures("home")


def test_a_second_run_of_the_same_name_asks_nothing_and_needs_nobody(home: Path) -> None:
    with simulated_model() as model:
        asked = of(model)
        first = chat(rows(50), asked, prompt="{text}", name="ratings")
    again = chat(rows(50), asked, prompt="{text}", name="ratings")
    assert again.equals(first)
    assert {path.name for path in (home / "ratings").iterdir()} == {"job.json", "rows.parquet", "answers", ".lock"}


def test_answers_that_could_not_be_read_are_kept_as_they_came_and_asked_again(home: Path) -> None:
    with simulated_model(Behavior(broken_rate=0.5)) as model:
        asked = of(model)
        first = chat(rows(60), asked, prompt="{text}", name="ratings")
        unread = first.filter(pl.col("llm_status") == "invalid").height
        assert unread
        kept = (home / "ratings" / "answers" / "000001.log").read_bytes()
        assert kept.count(b'},"text":') == unread
        before = model.witness.keys()
        second = chat(rows(60), asked, prompt="{text}", name="ratings")
        again = {key for key, counts in model.witness.keys().items() if counts.received > before[key].received}
        assert again == set(first.filter(pl.col("llm_status") == "invalid")["text"])
    assert second.filter(pl.col("llm_status") == "invalid").height < unread


def test_a_torn_record_at_the_end_of_a_journal_costs_that_row_alone(
    home: Path, model: SimulatedModel, caplog: pytest.LogCaptureFixture
) -> None:
    chat(rows(5), of(model), prompt="{text}", name="ratings")
    log = home / "ratings" / "answers" / "000001.log"
    log.write_bytes(log.read_bytes()[:-7])
    with caplog.at_level("INFO", "tidyllm"):
        rated = chat(rows(5), of(model), prompt="{text}", name="ratings")
    assert said(rated) == rows(5)["text"].to_list()
    assert model.witness.counts().received == 6
    assert caplog.messages[-1] == "ratings: 5 rows: 5 ok. Earlier runs had answered 4 of them."


def test_what_earlier_runs_have_cost_counts_against_the_budget(model: SimulatedModel) -> None:
    asked = openai("gpt-4o-mini", base_url=model.base_url, api_key="k", max_tokens=100, api="chat_completions")
    first = chat(rows(200), asked, prompt="{text}", budget=0.0005, max_concurrency=4, name="ratings")
    before = model.witness.counts().received
    again = chat(rows(200), asked, prompt="{text}", budget=0.0005, max_concurrency=4, name="ratings")
    assert model.witness.counts().received - before <= 5
    assert again["llm_cost"].sum() <= 0.0005
    assert again["llm_cost"].sum() >= first["llm_cost"].sum()


def test_other_rows_under_the_same_name_are_refused_with_the_difference(model: SimulatedModel) -> None:
    chat(rows(3), of(model), prompt="{text}", name="ratings")
    with simulated_model() as other, pytest.raises(JobChangedError, match="base_url"):
        chat(rows(3), of(other), prompt="{text}", name="ratings")
    for table, prompt, part in ((rows(4), "{text}", "data"), (rows(3), "Say {text}", "prompt")):
        with pytest.raises(JobChangedError) as refused:
            chat(table, of(model), prompt=prompt, name="ratings")
        assert part in refused.value.differences


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    code = """
import sys
import polars as pl
from tidyllm import chat, local
rows = pl.DataFrame({"text": [f"row {n}" for n in range(600)]})
chat(rows, local("m", base_url=sys.argv[1]), prompt="{text}", name="ratings", max_concurrency=32)
"""
    with simulated_model(Behavior(latency_ms=5)) as model:
        process = subprocess.Popen([sys.executable, "-c", code, model.base_url], cwd=tmp_path)
        model.witness.wait(answered=400)
        process.kill()
        process.wait()
        answered = model.witness.counts().received
        table = pl.DataFrame({"text": [f"row {n}" for n in range(600)]})
        rated = chat(table, of(model), prompt="{text}", name="ratings")
    assert said(rated) == table["text"].to_list()
    # In flight is what was sent and is not written yet, be its answer on its way or here.
    assert model.witness.counts().received - answered <= 600 - 400 + 32 + 1


def test_ctrl_c_keeps_what_came_and_says_how_to_go_on() -> None:
    with simulated_model(Behavior(latency_ms=5)) as model:

        def interrupt() -> None:
            model.witness.wait(answered=100)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt) as stopped:
            chat(rows(2000), of(model), prompt="{text}", name="ratings")
        thread.join()
        table = stopped.value.results  # type: ignore[attr-defined]
        assert table.height == 2000
        kept = table.filter(pl.col("llm_status") == "ok")["text"]
        assert len(kept) >= 50  # Some of those that the model has answered were still on their way.
        assert "run the same line again" in stopped.value.__notes__[0]
        rated = chat(rows(2000), of(model), prompt="{text}", name="ratings")
        # Not by the total: requests of the first run may have reached the model after its end.
        counts = model.witness.keys()
        assert {counts[text].received for text in kept} == {1}
    assert said(rated) == rows(2000)["text"].to_list()


def test_two_runs_of_one_name_do_not_run_at_once(model: SimulatedModel) -> None:
    model.hold()
    first = threading.Thread(target=lambda: chat(rows(2), of(model), prompt="{text}", name="ratings"))
    first.start()
    model.witness.wait(received=2)
    with pytest.raises(JobLockedError):
        chat(rows(2), of(model), prompt="{text}", name="ratings")
    model.release()
    first.join()


def test_a_list_can_be_a_named_run_too(model: SimulatedModel) -> None:
    texts = [f"text {number}" for number in range(30)]
    first = chat(texts, of(model), name="talks")
    assert [talk.reply().removeprefix(ANSWER) for talk in first] == texts
    again = chat(texts, of(model), name="talks")
    assert [talk.reply() for talk in again] == [talk.reply() for talk in first]
    assert model.witness.counts().received == 30
