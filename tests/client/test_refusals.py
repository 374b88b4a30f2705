"""Batches that are refused as a whole for what passes: all is answered in the end, and nothing twice."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.client.fake_api import FakeApi, Json, refusal, success_line
from tests.client.test_plan import limited
from tests.lifecycle.clock import HastyClock
from tidyllm import Job, Model, cancel_batch, fetch_batch, openai, retry_batch, send_batch, wait_batch
from tidyllm.client.calls import using
from tidyllm.client.requests import tokens_of
from tidyllm.core.errors import BadRequestError, BatchFailedError, JobError, NotDoneError, NotFoundError
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

TEXTS = [f"text {number}" for number in range(4)]
MODEL = openai("m", api="chat_completions")
UNSEEN = "Cannot find file file-1, or organization org-1 does not have access to it."


class Queue:
    """A provider at which only so many tokens of prompts may wait; a batch of it has ended at the second look."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.limit = 1_000_000
        self.told = self.limit
        """What refusals say that the limit is."""
        self.unseen = 0
        """So many batches fail as their file cannot be found."""
        self.answered: Counter[str] = Counter()
        """How often each row was answered, and billed."""
        api.on_receipt = self.hear

    def hear(self, route: str) -> None:
        if route != "get":
            return
        for batch in self.api.batches.values():
            if batch["status"] == "in_progress":
                self.complete(batch)
        for batch in self.api.batches.values():
            if batch["status"] == "validating":
                self._begin(batch)

    def _begin(self, batch: Json) -> None:
        if self.unseen:
            self.unseen -= 1
            self._fail(batch, "invalid_request", UNSEEN)
        elif self._waiting() + self._tokens(batch) > self.limit:
            told = f"Enqueued token limit reached for m in organization org-1. Limit: {self.told:,} enqueued tokens. "
            self._fail(batch, "token_limit_exceeded", told + "Please try again once some batches have been completed.")
        else:
            batch["status"] = "in_progress"

    def _fail(self, batch: Json, code: str, message: str) -> None:
        problem = {"code": code, "message": message, "param": None, "line": None}
        self.api.end(str(batch["id"]), status="failed", errors={"object": "list", "data": [problem]})

    def complete(self, batch: Json) -> None:
        lines = self.api.lines(str(batch["id"]))
        self.answered.update(str(line["custom_id"]) for line in lines)
        self.api.end(str(batch["id"]), output_file_id=self.api.keep([success_line(line) for line in lines]))

    def _waiting(self) -> int:
        return sum(self._tokens(batch) for batch in self.api.batches.values() if batch["status"] == "in_progress")

    def _tokens(self, batch: Json) -> int:
        lines = self.api.files[str(batch["input_file_id"])].splitlines()
        return sum(map(tokens_of, lines))


@pytest.fixture
def queue(home: object) -> Iterator[Queue]:
    del home
    clock = HastyClock()
    api = FakeApi(clock)
    with using(Transport(sender=api, keys=Keys("key"), retry=RetryPolicy(attempts_max=1), clock=clock)):
        yield Queue(api)


def send(model: Model = MODEL) -> Job:
    return send_batch(TEXTS, model, name="reviews")


def assert_all_answered_once(queue: Queue) -> None:
    assert fetch_batch("reviews")["reply"].to_list() == [text.upper() for text in TEXTS]
    assert queue.answered == {f"row-{number}": 1 for number in range(1, 5)}


def test_what_there_is_no_room_for_goes_again_when_the_others_have_ended(queue: Queue) -> None:
    queue.limit = queue.told = 80
    job = send(limited(requests_max=2))
    assert len(job.batch_ids) == 2
    statuses = wait_batch(job)["status"].to_list()
    assert statuses == ["completed", "completed"]
    assert [batch["status"] for batch in queue.api.batches.values()] == ["completed", "failed", "completed"]
    assert_all_answered_once(queue)


def test_a_batch_that_is_refused_alone_goes_again_after_a_pause_that_doubles(queue: Queue) -> None:
    queue.limit, queue.told = 0, 1_000
    tries: list[float] = []

    def room_at_the_third(route: str) -> None:
        if route == "create":
            tries.append(queue.api.clock.now())
            queue.limit = 0 if len(tries) < 3 else 1_000
        queue.hear(route)

    queue.api.on_receipt = room_at_the_third
    wait_batch(send())
    assert len(tries) == 3
    assert tries[1] - tries[0] >= 60
    assert tries[2] - tries[1] >= 120
    assert_all_answered_once(queue)


def test_a_batch_larger_than_the_limit_that_is_told_is_halved(queue: Queue) -> None:
    queue.limit = queue.told = 80
    (batch_id,) = send().batch_ids
    wait_batch("reviews")
    assert len(queue.api.lines(batch_id)) == 4
    done = [batch for batch in queue.api.batches.values() if batch["status"] == "completed"]
    assert [len(queue.api.lines(str(batch["id"]))) for batch in done] == [2, 2]
    assert_all_answered_once(queue)


def test_a_batch_that_never_fits_although_it_should_is_halved_too(queue: Queue) -> None:
    # What a token is the provider alone knows: in some languages they are many more than we count.
    queue.limit, queue.told = 80, 10_000
    send()
    wait_batch("reviews")
    assert_all_answered_once(queue)


def test_a_row_that_is_larger_than_the_limit_stays_failed(queue: Queue) -> None:
    queue.limit = queue.told = 10
    send()
    wait_batch("reviews")
    with pytest.raises(BatchFailedError, match="Enqueued token limit"):
        fetch_batch("reviews")
    assert not queue.answered


def test_a_wait_for_room_ends_when_its_time_is_up(queue: Queue) -> None:
    queue.limit, queue.told = 0, 1_000
    send()
    began = queue.api.clock.monotonic()
    with pytest.raises(NotDoneError, match="still queued after 30 s"):
        wait_batch("reviews", timeout_s=30)
    assert queue.api.clock.monotonic() - began < 31
    queue.limit = 1_000
    wait_batch("reviews")
    assert_all_answered_once(queue)


def test_a_wait_whose_time_is_up_in_the_middle_of_a_sending_ends_too(queue: Queue) -> None:
    job = send_batch(TEXTS, MODEL, name="reviews", queue_tokens=80)
    queue.api.faults_before["create"] = [refusal(500, "oops")]
    began = queue.api.clock.monotonic()
    with pytest.raises(NotDoneError, match="reviews"):
        wait_batch(job, timeout_s=20)
    assert queue.api.clock.monotonic() - began < 21
    wait_batch(job)
    assert_all_answered_once(queue)


def test_what_was_fetched_as_refused_is_fetched_again_once_it_was_answered(queue: Queue) -> None:
    queue.limit, queue.told = 0, 1_000
    send()
    with pytest.raises(NotDoneError):
        wait_batch("reviews", timeout_s=5)
    with pytest.raises(BatchFailedError, match="Enqueued token limit"):
        fetch_batch("reviews")
    queue.api.on_receipt = lambda _: None
    with pytest.raises(NotDoneError):
        wait_batch("reviews", timeout_s=61)
    with pytest.raises(NotDoneError, match="validating"):
        fetch_batch("reviews")
    queue.limit = 1_000
    queue.api.on_receipt = queue.hear
    wait_batch("reviews")
    assert_all_answered_once(queue)


def test_what_was_refused_and_is_sent_again_by_hand_is_not_sent_by_a_wait_too(queue: Queue) -> None:
    queue.limit = queue.told = 80
    send(limited(requests_max=2))
    with pytest.raises(NotDoneError):
        wait_batch("reviews", timeout_s=1)
    retry_batch("reviews")
    wait_batch("reviews")
    assert_all_answered_once(queue)


@pytest.mark.parametrize("status", [400, 404])
def test_a_file_that_is_not_there_yet_is_tried_again_after_pauses(queue: Queue, status: int) -> None:
    queue.api.faults_before["create"] = [refusal(status, UNSEEN)] * 3
    began = queue.api.clock.monotonic()
    send()
    assert queue.api.asked == ["upload", *["create"] * 4]
    assert 7 <= queue.api.clock.monotonic() - began < 8
    wait_batch("reviews")
    assert_all_answered_once(queue)


def test_a_file_that_never_is_there_is_an_error_and_is_uploaded_anew_by_the_next_attempt(queue: Queue) -> None:
    queue.api.faults_before["create"] = [refusal(404, UNSEEN)] * 5
    with pytest.raises(NotFoundError, match="Cannot find file"):
        send()
    queue.api.asked.clear()
    send()
    assert queue.api.asked == ["upload", "create"]
    wait_batch("reviews")
    assert_all_answered_once(queue)


def test_another_refusal_is_not_taken_for_a_missing_file(queue: Queue) -> None:
    queue.api.faults_before["create"] = [refusal(400, "Invalid endpoint.")]
    with pytest.raises(BadRequestError):
        send()
    assert queue.api.asked == ["upload", "create"]


def test_a_batch_whose_file_was_not_found_goes_again_with_the_same_and_then_with_a_new_one(queue: Queue) -> None:
    queue.unseen = 2
    send()
    wait_batch("reviews")
    files = [batch["input_file_id"] for batch in queue.api.batches.values()]
    assert len(files) == 3
    assert files[0] == files[1] != files[2]
    assert_all_answered_once(queue)


def test_a_batch_whose_file_is_never_found_stays_failed(queue: Queue) -> None:
    queue.unseen = 100
    send()
    assert wait_batch("reviews")["status"].to_list() == ["failed"]
    assert queue.api.asked.count("create") == 4
    with pytest.raises(BatchFailedError, match="Cannot find file"):
        fetch_batch("reviews")
    queue.unseen = 0
    retry_batch("reviews")
    wait_batch("reviews")
    assert_all_answered_once(queue)


def test_what_of_a_cancelled_job_was_not_sent_never_is_until_it_is_sent_again(queue: Queue) -> None:
    job = send_batch(TEXTS, MODEL, name="reviews", queue_tokens=80)
    assert len(job.batch_ids) == 1
    cancel_batch(job)
    queue.api.end(job.batch_ids[0], status="cancelled")
    wait_batch(job)
    assert send_batch(TEXTS, MODEL, name="reviews", queue_tokens=80).batch_ids == job.batch_ids
    assert queue.api.asked.count("create") == 1
    assert fetch_batch(job)["llm_status"].to_list() == ["cancelled"] * 4
    retry_batch(job)
    wait_batch(job)
    assert_all_answered_once(queue)


def test_of_a_job_all_batches_are_cancelled_that_have_not_ended(queue: Queue) -> None:
    job = send(limited(requests_max=1))
    first, *others = job.batch_ids
    queue.complete(queue.api.batches[first])
    queue.api.faults_before["cancel"] = [refusal(409, "Cannot cancel a batch with status 'completed'.")]
    table = cancel_batch(job)
    assert table["status"].to_list() == ["completed"] + ["cancelling"] * 3
    assert [queue.api.batches[one]["status"] for one in others] == ["cancelling"] * 3


def test_a_retry_that_is_made_twice_sends_once(queue: Queue) -> None:
    send()
    queue.api.complete(output=[], error=[])
    assert fetch_batch("reviews")["llm_status"].to_list() == ["failed"] * 4
    assert retry_batch("reviews") == retry_batch("reviews")
    assert queue.api.asked.count("create") == 2
    wait_batch("reviews")
    assert_all_answered_once(queue)


def test_a_retry_of_what_is_under_way_is_an_error(queue: Queue) -> None:
    job = send()
    with pytest.raises(NotDoneError, match="has not ended"):
        retry_batch(job)
    queue.api.complete(output=[], error=[])
    retry_batch(job)
    cancel_batch(job)
    with pytest.raises(NotDoneError, match="has not ended"):
        retry_batch(job)


@pytest.mark.usefixtures("queue")
def test_a_batch_of_elsewhere_cannot_be_sent_again() -> None:
    job = send()
    job.folder.rename(job.folder.parent.parent / "elsewhere")
    with pytest.raises(JobError, match="rows are unknown"):
        retry_batch(job.batch_ids[0], MODEL)
