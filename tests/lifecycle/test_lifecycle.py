"""The life of a job at every provider that has batches: sent, looked at, fetched, and sent again where it failed.

A provider is found by its file here, which has a fake of its Batch API.
"""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pytest

import tidyllm as tl
from tests.lifecycle.clock import HastyClock
from tests.lifecycle.fakes import BatchFake
from tests.lifecycle.fate import CANCELLED, EXPIRED, FAILED, MISSING, OK, VECTOR, Fate
from tests.lifecycle.test_fakes import NAMES
from tidyllm.client.calls import using
from tidyllm.core.errors import BatchFailedError, NotDoneError, SettingError
from tidyllm.provider import Model, find_provider
from tidyllm.testing import play
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

ROWS = pl.DataFrame({"text": ["one", "two", "three", "four"], "n": [1, None, 3, 4]})


class Life:
    """A provider, and the one job that is sent to it."""

    def __init__(self, name: str) -> None:
        found: type[BatchFake] = importlib.import_module(f"tests.lifecycle.{name}").FAKE
        self.fake = found(HastyClock())
        self.provider = find_provider(found.provider)
        self.embeds = not self.provider.batch_chats
        self.job: tl.Job | None = None

    @property
    def model(self) -> Model:
        name = self.fake.embed_model if self.embeds else self.fake.model
        address = {} if self.fake.base_url is None else {"base_url": self.fake.base_url}
        return self.provider(name, **address)  # type: ignore[arg-type]  # there is nothing else in it

    def send(self) -> tl.Job:
        if self.embeds:
            return tl.send_batch(ROWS, self.model, embed="text", name="life")
        return tl.send_batch(ROWS, self.model, prompt="Say {text}", name="life")

    def newest(self) -> str:
        return list(self.fake.batches)[-1]

    def end(self, *fates: Fate, status: str = "completed", lie: bool = False) -> None:
        """End the newest batch; its requests have these fates, in the order of the rows that ask them."""
        ids = sorted((custom_id for custom_id, _ in self.fake.requests(self.newest())), key=_number)
        self.fake.end(self.newest(), dict(zip(ids, map(self._fate, fates), strict=True)), status=status, lie=lie)

    def statuses(self) -> list[str | None]:
        table = tl.fetch_batch("life", self.model)
        assert table.select("text", "n").equals(ROWS)
        return table["llm_status"].to_list()

    def answers(self) -> list[object]:
        return tl.fetch_batch("life", self.model)["embeddings" if self.embeds else "reply"].to_list()

    def answer(self, fate: Fate) -> object:
        """Return what a row with that fate has for an answer."""
        if not isinstance(fate, OK):
            return None
        return [float(len(fate.text)), 1.0] if self.embeds else fate.text

    def _fate(self, fate: Fate) -> Fate:
        return VECTOR([float(len(fate.text)), 1.0]) if self.embeds and isinstance(fate, OK) else fate


def _number(custom_id: str) -> int:
    return int(custom_id.rpartition("-")[2])


@pytest.fixture(params=NAMES)
def life(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    monkeypatch.setenv("TIDYLLM_HOME", str(tmp_path / "jobs"))
    one = Life(request.param)
    once = RetryPolicy(attempts_max=1)
    with using(Transport(sender=one.fake, keys=Keys("key"), retry=once, clock=one.fake.clock)):
        yield one


def test_a_job_is_sent_waited_for_and_fetched_and_again_from_the_disk_alone(life: Life) -> None:
    job = life.send()
    assert job.batch_ids == (life.newest(),)
    assert [body_text(body) for _, body in life.fake.requests(life.newest())] == [
        ("" if life.embeds else "Say ") + text for text in ROWS["text"]
    ]
    with pytest.raises(NotDoneError):
        tl.fetch_batch(job)
    (before,) = tl.check_batch(job).rows(named=True)
    assert before["status"] in ("validating", "in_progress")
    fates = OK("A"), OK("BB"), OK("CCC"), OK("D")
    life.end(*fates)
    (after,) = tl.wait_batch(job).rows(named=True)
    assert (after["status"], after["request_total"]) == ("completed", 4)
    assert life.statuses() == ["ok"] * 4
    assert life.answers() == [life.answer(fate) for fate in fates]
    with using(play()):
        assert life.statuses() == ["ok"] * 4
    assert life.send().batch_ids == job.batch_ids
    assert len(life.fake.batches) == 1


def test_rows_that_failed_are_told_and_sent_again_into_the_same_job(life: Life) -> None:
    life.send()
    life.end(OK("A"), FAILED(400, "Not that."), MISSING, OK("D"))
    assert life.statuses() == ["ok", "failed", "failed", "ok"]
    assert "Not that." in tl.fetch_batch("life")["llm_error"][1]
    job = tl.retry_batch("life", life.model)
    assert len(life.fake.batches) == 2
    assert [_number(custom_id) for custom_id, _ in life.fake.requests(life.newest())] == [2, 3]
    assert len(job.batch_ids) == 2
    life.end(OK("B"), OK("C"))
    assert life.statuses() == ["ok"] * 4
    assert life.answers() == [life.answer(OK(word)) for word in "ABCD"]
    tl.retry_batch("life", life.model)
    assert len(life.fake.batches) == 2


def test_the_counts_may_lie(life: Life) -> None:
    life.send()
    life.end(OK("A"), FAILED(500, "Sorry."), OK("C"), OK("D"), lie=True)
    assert life.statuses() == ["ok", "failed", "ok", "ok"]


def test_an_expired_batch_keeps_what_was_answered_and_what_was_not_is_sent_again(life: Life) -> None:
    life.send()
    life.end(OK("A"), EXPIRED, EXPIRED, OK("D"), status="expired")
    found = life.statuses()
    # Gemini gives nothing of a batch that has expired; spec/gemini 9.
    assert found == (["expired"] * 4 if life.fake.provider == "gemini" else ["ok", "expired", "expired", "ok"])
    tl.retry_batch("life", life.model)
    life.end(*(OK(f"{number}") for number, status in enumerate(found) if status == "expired"))
    assert life.statuses() == ["ok"] * 4


def test_a_cancelled_batch_keeps_what_was_answered(life: Life) -> None:
    life.send()
    if life.provider.batch_cancel is None:
        with pytest.raises(SettingError, match=rf"{life.fake.provider} does not end a batch early; .*openai\(\)"):
            tl.cancel_batch("life", life.model)
    else:
        (row,) = tl.cancel_batch("life", life.model).rows(named=True)
        assert row["status"] in ("cancelling", "cancelled", "in_progress")
    life.end(OK("A"), CANCELLED, CANCELLED, OK("D"), status="cancelled")
    found = life.statuses()
    assert found[1:3] == ["cancelled", "cancelled"]
    assert set(found) <= {"ok", "cancelled"}


def test_a_batch_that_failed_as_a_whole_says_why_and_its_rows_can_be_sent_again(life: Life) -> None:
    life.send()
    failed = FAILED(400, "No such model.")
    if life.fake.provider == "claude":  # It checks each request when its turn comes; spec/anthropic 9.
        life.end(*[failed] * 4)
        assert life.statuses() == ["failed"] * 4
    else:
        life.end(*[MISSING] * 4, status="failed")
        with pytest.raises(BatchFailedError, match=rf"{life.fake.provider} refused the batch"):
            life.statuses()
    tl.retry_batch("life", life.model)
    life.end(*map(OK, "ABCD"))
    assert life.statuses() == ["ok"] * 4


def test_every_row_may_fail_and_no_file_of_answers_be_there(life: Life) -> None:
    life.send()
    life.end(*[FAILED(500, "Sorry.")] * 4)
    assert life.statuses() == ["failed"] * 4
    assert life.answers() == [None] * 4


def test_a_running_batch_is_fetched_as_far_as_it_is(life: Life) -> None:
    life.send()
    table = tl.fetch_batch("life", life.model, partial=True)
    assert table["llm_status"].to_list() == ["pending"] * 4
    life.end(*map(OK, "ABCD"))
    assert life.statuses() == ["ok"] * 4


def test_a_batch_of_elsewhere_is_listed_and_fetched_by_its_id(life: Life, tmp_path: Path) -> None:
    (batch_id,) = life.send().batch_ids
    life.end(OK("A"), FAILED(400, "Not that."), OK("C"), OK("D"))
    (tmp_path / "jobs" / "life").rename(tmp_path / "elsewhere")
    assert tl.list_batches(life.model)["batch_id"].to_list() == [batch_id]
    table = tl.fetch_batch(batch_id, life.model)
    assert sorted(table["llm_status"]) == ["failed", "ok", "ok", "ok"]
    assert table["custom_id"].n_unique() == 4


def test_all_pages_are_listed(life: Life) -> None:
    life.fake.page_max = 2
    for number in range(5):
        rows = pl.DataFrame({"text": [f"text {number}"]})
        if life.embeds:
            tl.send_batch(rows, life.model, embed="text")
        else:
            tl.send_batch(rows, life.model, prompt="{text}")
    assert tl.list_batches(life.model)["batch_id"].to_list() == list(reversed(life.fake.batches))
    assert tl.list_batches(life.model, limit=3).height == 3


def test_a_batch_is_deleted_where_that_can_be(life: Life) -> None:
    job = life.send()
    life.end(*map(OK, "ABCD"))
    assert life.statuses() == ["ok"] * 4
    if life.provider.batch_delete is None:
        with pytest.raises(SettingError, match=rf"{life.fake.provider} keeps its batches; .*claude\(\)"):
            tl.delete_batch(job)
        return
    assert tl.delete_batch(job) == job.batch_ids
    assert tl.list_batches(life.model).height == 0
    # What was fetched stays.
    assert life.statuses() == ["ok"] * 4


def body_text(body: Mapping[str, object]) -> str:
    """Return the text in the body of a request, wherever the API has it."""
    return next(text for text in _texts(body) if any(word in text for word in ROWS["text"]))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
