"""Sending the same again with something else said: it holds for what was not sent yet, or is an error."""

import pytest

from tests.client.fake_api import FakeApi, refusal
from tests.client.test_ready import line, lines
from tests.lifecycle import claude as claude_fake
from tests.lifecycle.clock import HastyClock
from tests.lifecycle.fate import OK
from tidyllm import Job, claude, fetch_batch, openai, send_batch, wait_batch
from tidyllm.client.calls import using
from tidyllm.client.jobs import JobFolder, JobRecord
from tidyllm.client.ready import prepare_ready, send_ready
from tidyllm.client.send_options import SendSettings
from tidyllm.core.errors import NotDoneError, RateLimitError, SettingError
from tidyllm.provider import Model
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys

MODEL = openai("gpt-4o-mini", api="chat_completions", max_tokens=100)
TEXTS = ["one", "two", "three", "four"]
ROOM_FOR_ONE = 60
"""Tokens that one of the requests has, and no two of them."""
ROOM_FOR_TWO = 90


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


def send(model: Model = MODEL, **options: object) -> Job:
    return send_batch(TEXTS, model, name="reviews", **options)  # type: ignore[call-overload,no-any-return]


def broken_off(api: FakeApi) -> None:
    """Leave a job on disk of which nothing was sent."""
    api.faults_before["create"] = [refusal(429, "slow down")]
    with pytest.raises(RateLimitError):
        send()


def record_of(job: Job) -> JobRecord:
    return JobFolder(job.folder).read()


def complete_all(api: FakeApi, job: Job) -> None:
    """Answer one batch of a job after another, until all of it was sent."""

    def complete(route: str) -> None:
        if route == "get":
            api.complete()

    api.complete()
    api.on_receipt = complete
    wait_batch(job, timeout_s=300)
    assert fetch_batch(job)["reply"].to_list() == [text.upper() for text in TEXTS]


@pytest.mark.usefixtures("api")
def test_more_may_wait_from_now_on_if_more_is_said() -> None:
    assert len(send(queue_tokens=ROOM_FOR_ONE).batch_ids) == 1
    job = send(queue_tokens=2 * ROOM_FOR_TWO)
    assert len(job.batch_ids) > 1
    assert record_of(job).queue_tokens == 2 * ROOM_FOR_TWO
    # Where nothing is said, what was said before holds.
    assert send() == job
    assert record_of(job).queue_tokens == 2 * ROOM_FOR_TWO


def test_what_was_not_sent_yet_is_cut_anew_where_less_may_wait(api: FakeApi) -> None:
    first = send(queue_tokens=ROOM_FOR_TWO)
    assert [remote.requests for remote in record_of(first).remotes] == [2, 2]
    job = send(queue_tokens=ROOM_FOR_ONE)
    assert job.batch_ids == first.batch_ids
    assert [remote.requests for remote in record_of(job).remotes] == [2, 1, 1]
    complete_all(api, job)
    assert len(api.batches) == 3


def test_a_limit_that_comes_after_a_send_that_failed_holds_for_all_of_it(api: FakeApi) -> None:
    broken_off(api)
    job = send(queue_tokens=ROOM_FOR_ONE)
    assert [remote.requests for remote in record_of(job).remotes] == [1, 1, 1, 1]
    complete_all(api, job)
    assert len(api.batches) == 4


def test_a_limit_that_a_row_alone_passes_is_refused_and_nothing_changes(api: FakeApi) -> None:
    broken_off(api)
    with pytest.raises(SettingError, match=r"Row 1 has about .* more than queue_tokens= allows"):
        send(queue_tokens=2)
    assert len(send().batch_ids) == 1


@pytest.mark.usefixtures("home")
def test_requests_that_go_in_the_body_are_cut_anew_as_well() -> None:
    fake = claude_fake.FAKE(HastyClock())
    with using(Transport(sender=fake, keys=Keys("key"), clock=fake.clock)):
        send(claude(), queue_tokens=ROOM_FOR_TWO)
        job = send(claude(), queue_tokens=ROOM_FOR_ONE)
        assert [(one.requests, one.inline) for one in record_of(job).remotes] == [(2, True), (1, True), (1, True)]
        for count in (1, 2, 3):
            assert len(fake.batches) == count
            asked = [custom_id for custom_id, _ in fake.requests(list(fake.batches)[-1])]
            fake.end(list(fake.batches)[-1], {custom_id: OK("Yes.") for custom_id in asked})
            if count < 3:
                with pytest.raises(NotDoneError):
                    wait_batch(job, timeout_s=2)
        wait_batch(job)
        assert fetch_batch(job)["reply"].to_list() == ["Yes."] * 4


def test_ready_made_requests_take_another_limit_too(api: FakeApi) -> None:
    file, openai_alone = lines(line("a"), line("b")), openai()
    api.faults_before["create"] = [refusal(429, "slow down")]
    with pytest.raises(RateLimitError):
        send_ready(prepare_ready(file, openai_alone, settings=SendSettings(name="ready")))
    job = send_ready(prepare_ready(file, openai_alone, settings=SendSettings(name="ready", queue_tokens=50)))
    assert [remote.requests for remote in record_of(job).remotes] == [1, 1]


def test_a_budget_that_comes_later_holds_for_what_was_not_sent(api: FakeApi) -> None:
    broken_off(api)
    with pytest.raises(SettingError, match="more than budget=1e-06"):
        send(budget=0.000001)
    assert not api.batches
    job = send(budget=1)
    # All of it was sent: nothing more is spent, whatever the budget.
    assert send(budget=0.000001) == job


@pytest.mark.usefixtures("home")
def test_a_batch_is_adopted_only_where_one_is_in_doubt() -> None:
    fake = claude_fake.FAKE(HastyClock())
    with using(Transport(sender=fake, keys=Keys("key"), clock=fake.clock)):
        with pytest.raises(SettingError, match="adopt='msgbatch_9' is for a job whose batch"):
            send(claude(), adopt="msgbatch_9")
        assert not fake.batches
        job = send(claude())
        # The same line once more is no error.
        assert send(claude(), adopt=job.batch_ids[0]) == job
        assert send(claude(), adopt="none") == job
