"""The bar of a wait."""

import io
import sys

import pytest

from tests.client.fake_api import FakeApi
from tidyllm import openai, send_batch, wait_batch
from tidyllm.client.progress import batch_bar
from tidyllm.core.batch import Batch, BatchStatus, RequestCounts

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
    job = send_batch(["a"], openai("m"), name="reviews")
    api.complete()
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    wait_batch(job)
    assert "reviews: completed" in terminal.getvalue()


@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_is_shown_where_nobody_looks(capsys: pytest.CaptureFixture[str], *, wanted: bool) -> None:
    with batch_bar("reviews", wanted=wanted) as show:
        assert show is None
    assert capsys.readouterr() == ("", "")
