"""The bars of waits and of runs."""

import io
import sys
from collections import Counter

import polars as pl
import pytest

from tests.client.fake_api import FakeApi
from tidyllm import chat, local, openai, send_batch, wait_batch
from tidyllm.client.progress import batch_bar, run_bar
from tidyllm.client.run import Told
from tidyllm.core.batch import Batch, BatchStatus, RequestCounts
from tidyllm.core.reply import Outcome
from tidyllm.testing import simulated_model

BATCH = Batch(
    id="b",
    status=BatchStatus.IN_PROGRESS,
    counts=RequestCounts(total=10, completed=3, failed=1),
    created_at=1,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_shown_how_far_the_batch_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with batch_bar("reviews", wanted=True) as show:
        assert show is not None
        show((BATCH,))
    assert "reviews: in_progress" in terminal.getvalue()
    assert "4/10" in terminal.getvalue()


def test_a_wait_shows_the_bar(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    job = send_batch(["a"], openai("m", api="chat_completions"), name="reviews")
    api.complete()
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    wait_batch(job)
    assert "reviews: completed" in terminal.getvalue()


def test_a_run_shows_rate_tokens_cost_and_what_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    outcomes = Counter({Outcome.OK: 6, Outcome.FAILED: 2})
    with run_bar("ratings") as show:
        assert show is not None
        show(Told(total=10, outcomes=outcomes, tokens=1234, dollars=1.5))
    for word in ("ratings", "8/10", "/s", "1,234 tokens", "$1.50", "2 not ok"):
        assert word in terminal.getvalue()


def test_a_run_over_a_table_shows_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with simulated_model() as model:
        chat(pl.DataFrame({"text": ["a", "b"]}), local("m", base_url=model.base_url), prompt="{text}")
    assert "2/2" in terminal.getvalue()


def test_a_run_shows_nothing_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with run_bar("ratings") as show:
        assert show is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_is_shown_where_nobody_looks(capsys: pytest.CaptureFixture[str], *, wanted: bool) -> None:
    with batch_bar("reviews", wanted=wanted) as show:
        assert show is None
    assert capsys.readouterr() == ("", "")
