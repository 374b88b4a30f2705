"""Batches whose creation was lost at a provider that keeps no notes: one that can be ours is taken, of two none is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lifecycle.claude import FAKE
from tests.lifecycle.clock import HastyClock
from tests.lifecycle.fate import OK
from tidyllm import Job, claude, fetch_batch, retry_batch, send_batch, wait_batch
from tidyllm.client.calls import using
from tidyllm.core.errors import BrokenConnectionError, JobError, JobUnsureError, NotFoundError
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

TEXTS = ["one", "two"]
LOST = BrokenConnectionError("cut", url="u")


@pytest.fixture
def fake(home: Path) -> Iterator[FAKE]:
    del home
    fake = FAKE(HastyClock())
    once = RetryPolicy(attempts_max=1)
    with using(Transport(sender=fake, keys=Keys("key"), retry=once, clock=fake.clock)):
        yield fake


def send(texts: list[str] = TEXTS, adopt: str | None = None) -> Job:
    return send_batch(texts, claude(), name="reviews", adopt=adopt)


def lose(fake: FAKE, work: Callable[[], object]) -> None:
    """Do what creates a batch, whose answer is lost; and have somebody else create one like it."""
    fake.faults_after["create"] = [LOST]
    # What is to be found cannot be asked for either.
    fake.faults_before["page"] = [LOST]
    with pytest.raises(BrokenConnectionError):
        work()


def stranger(fake: FAKE, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, texts: list[str]) -> str:
    """Return the batch that somebody sends from another machine."""
    with monkeypatch.context() as there:
        there.setenv("TIDYLLM_HOME", str(tmp_path / "elsewhere"))
        return send_batch(texts, claude(), name=f"other-{len(fake.batches)}").batch_ids[0]


def end(fake: FAKE) -> None:
    for batch_id, kept in fake.batches.items():
        if kept.status == "in_progress":
            fake.end(batch_id, {custom_id: OK("Yes.") for custom_id, _ in kept.requests})


def test_the_one_batch_that_can_be_ours_is_taken(fake: FAKE, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lose(fake, send)
    (lost,) = fake.batches
    stranger(fake, monkeypatch, tmp_path, ["one row more", "than ours", "has"])
    # What another job of this machine has sent is known not to be ours.
    send_batch(["three", "four"], claude(), name="another")
    assert send().batch_ids == (lost,)
    end(fake)
    assert fetch_batch("reviews")["reply"].to_list() == ["Yes.", "Yes."]


@pytest.mark.parametrize("ours", [True, False])
def test_of_two_batches_none_is_taken_until_somebody_says_which(
    fake: FAKE, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, ours: bool
) -> None:
    lose(fake, send)
    (lost,) = fake.batches
    other = stranger(fake, monkeypatch, tmp_path, TEXTS)
    for _ in range(2):
        with pytest.raises(JobUnsureError, match=r"adopt=") as caught:
            send()
        assert sorted(caught.value.candidates) == sorted([lost, other])
        assert all(f"{batch_id}: 2 requests" in str(caught.value) for batch_id in (lost, other))
    assert len(fake.batches) == 2
    job = send(adopt=lost if ours else "none")
    assert job.batch_ids == ((lost,) if ours else (list(fake.batches)[2],))
    assert len(fake.batches) == (2 if ours else 3)
    assert send() == job
    end(fake)
    wait_batch(job)
    assert fetch_batch(job)["llm_status"].to_list() == ["ok", "ok"]


def test_the_wrong_batch_that_was_named_is_told_by_its_results(
    fake: FAKE, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lose(fake, send)
    job = send(adopt=stranger(fake, monkeypatch, tmp_path, TEXTS))
    end(fake)
    with pytest.raises(JobError, match="none of its 2 results answers a request of this job"):
        fetch_batch(job)


def test_a_batch_that_there_is_not_cannot_be_adopted(fake: FAKE) -> None:
    lose(fake, send)
    with pytest.raises(NotFoundError):
        send(adopt="msgbatch_0")
    assert len(fake.batches) == 1
    assert send().batch_ids == tuple(fake.batches)


def test_a_retry_that_is_unsure_goes_on_once_somebody_says_which(
    fake: FAKE, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (first,) = send().batch_ids
    fake.end(first, {})
    lose(fake, lambda: retry_batch("reviews"))
    second = list(fake.batches)[1]
    stranger(fake, monkeypatch, tmp_path, TEXTS)
    for again in (retry_batch, wait_batch):
        with pytest.raises(JobUnsureError):
            again("reviews")
    assert send(adopt=second).batch_ids == (first, second)
    end(fake)
    wait_batch("reviews")
    assert fetch_batch("reviews")["reply"].to_list() == ["Yes.", "Yes."]
