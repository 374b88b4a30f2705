"""Sending a job once, whatever happens on the way."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path

import polars as pl
import pytest

from tests.client.fake_api import FakeApi, Fault, refusal
from tidyllm import Job, asend_batch, openai, send_batch
from tidyllm.client.jobs import JobFolder
from tidyllm.client.send import SETTLE_S
from tidyllm.core.errors import (
    AnswerTimeoutError,
    ApiError,
    BadRequestError,
    BrokenConnectionError,
    ConnectError,
    JobChangedError,
    JobLockedError,
    ServerError,
    TransportError,
)
from tidyllm.core.wire import Response
from tidyllm.testing import ManualClock

ROWS = pl.DataFrame({"text": ["one", "two"], "stars": [1, 2]})
MODEL = openai("m", api="chat_completions")
AGAIN = "Run the same line again: it goes on where it stopped, and looks for the batch before it creates one."


def send(prompt: str = "Rate: {text}", system: str | None = None) -> Job:
    return send_batch(ROWS, MODEL, prompt=prompt, system=system, name="reviews")


def test_a_table_becomes_a_batch(api: FakeApi, home: Path) -> None:
    job = send()
    assert api.asked == ["upload", "create"]
    (batch,) = api.batches.values()
    assert batch["endpoint"] == "/v1/chat/completions"
    assert batch["completion_window"] == "24h"
    assert api.lines() == [
        {
            "custom_id": f"row-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m", "messages": [{"role": "user", "content": f"Rate: {text}"}]},
        }
        for number, text in enumerate(["one", "two"], 1)
    ]
    assert repr(job) == f"Job('reviews', {MODEL!r}, 2 rows, {batch['id']})"
    assert job.folder == home / "reviews"
    assert {path.name for path in job.folder.iterdir()} == {".lock", "job.json", "requests-1.jsonl", "rows.parquet"}
    assert job.folder.stat().st_mode & 0o777 == 0o700
    assert home.stat().st_mode & 0o777 == 0o700


def test_the_same_content_is_the_same_job_and_sends_nothing(api: FakeApi) -> None:
    assert send() == send()
    assert api.asked == ["upload", "create"]


def test_the_same_content_without_a_name_is_the_same_job(api: FakeApi) -> None:
    first = send_batch(["a", "b"], MODEL)
    assert send_batch(["a", "b"], MODEL).name == first.name
    assert first.name.startswith("openai-")
    assert send_batch(["a", "c"], MODEL).name != first.name
    assert api.asked == ["upload", "create"] * 2


def test_the_name_made_of_the_content_is_the_same_in_every_process_and_version(api: FakeApi) -> None:
    # A change of this name would send again, and bill again, what people sent before an upgrade.
    rows = pl.DataFrame({"text": ["ü", None], "when": [None, 1.5], "tags": [["a"], []]})
    job = send_batch(
        rows, openai("m", temperature=0, stop=["x"], api="chat_completions"), prompt="{tags}", system="Be brief."
    )
    assert job.name == "openai-0cee94fc2d5f141c"
    assert len(api.batches) == 1


@pytest.mark.parametrize(
    ("changes", "part"),
    [({"prompt": "Grade: {text}"}, "prompt"), ({"system": "Be fair."}, "system")],
)
def test_other_content_under_the_same_name_is_refused_with_the_difference(
    api: FakeApi, changes: dict[str, str], part: str
) -> None:
    send()
    with pytest.raises(JobChangedError, match=part) as caught:
        send(**changes)
    assert list(caught.value.differences) == [part]
    assert len(api.batches) == 1


def test_other_rows_and_another_model_are_other_content(api: FakeApi) -> None:
    send()
    with pytest.raises(JobChangedError) as caught:
        send_batch(ROWS.head(1), openai("m2", api="chat_completions"), prompt="Rate: {text}", name="reviews")
    assert list(caught.value.differences) == ["model", "rows", "data"]
    assert len(api.batches) == 1


def test_a_job_that_another_process_works_on_is_left_alone(api: FakeApi, home: Path) -> None:
    with (
        JobFolder(home / "reviews").locked(),
        pytest.raises(JobLockedError, match="'reviews' is still being worked on"),
    ):
        send()
    assert api.asked == []


@pytest.mark.parametrize(
    "fault", [ConnectError("refused", url="u"), refusal(400, "no"), refusal(429, "slow down")], ids=str
)
def test_a_create_that_surely_was_not_carried_out_is_simply_made_again(api: FakeApi, fault: Fault) -> None:
    api.faults_before["create"] = [fault]
    with pytest.raises((ConnectError, ApiError)):
        send()
    send()
    assert api.asked == ["upload", "create", "create"]
    assert len(api.batches) == 1


@pytest.mark.parametrize(
    "fault",
    [
        AnswerTimeoutError("slow", url="u"),
        BrokenConnectionError("cut", url="u"),
        refusal(500, "oops"),
        Response(status=200, body=b"<html>"),
    ],
    ids=str,
)
def test_a_create_whose_answer_was_lost_is_found_by_its_token(api: FakeApi, fault: Fault) -> None:
    api.faults_after["create"] = [fault]
    job = send()
    assert api.asked == ["upload", "create", "page"]
    assert job.batch_ids == tuple(api.batches)


def test_a_lost_create_that_does_not_show_yet_is_waited_for_and_never_made_twice(
    api: FakeApi, clock: ManualClock
) -> None:
    api.faults_before["create"] = [AnswerTimeoutError("slow", url="u")]
    with pytest.raises(AnswerTimeoutError) as caught:
        send()
    assert "'reviews'" in caught.value.__notes__[0]

    jobs: list[Job] = []
    again = threading.Thread(target=_in_this_context(lambda: jobs.append(send())))
    again.start()
    clock.wait_for_sleepers(1)
    assert api.asked == ["upload", "create", "page", "page"]
    clock.advance(SETTLE_S)
    again.join(10)
    assert api.asked[4:] == ["page", "create"]
    assert jobs[0].batch_ids == tuple(api.batches)


def test_a_lost_create_that_cannot_be_looked_for_is_the_error_that_is_told(api: FakeApi) -> None:
    # A ConnectError alone would say that nothing was sent, though the batch may run and be billed.
    lost = BrokenConnectionError("cut", url="u")
    api.faults_after["create"] = [lost]
    api.faults_before["page"] = [ConnectError("no network", url="u")]
    with pytest.raises(BrokenConnectionError) as caught:
        send()
    assert caught.value is lost
    assert "may have been created all the same" in caught.value.__notes__[0]
    assert send().batch_ids == tuple(api.batches)
    assert len(api.batches) == 1


def test_the_search_passes_over_other_batches_and_stops_at_old_ones(api: FakeApi, clock: ManualClock) -> None:
    for number in range(150):
        send_batch([str(number)], MODEL)
    clock.advance(2 * 86_400)
    api.asked.clear()
    api.faults_before["create"] = [refusal(503, "busy")]
    with pytest.raises(ServerError):
        send()
    assert api.asked == ["upload", "create", "page"]
    clock.advance(SETTLE_S)
    send()
    assert api.asked[3:] == ["page", "create"]


def test_the_search_goes_through_all_pages_of_the_day(api: FakeApi) -> None:
    def crowd(route: str) -> None:
        if route == "page" and len(api.batches) == 1:
            mine = dict(next(iter(api.batches.values())))
            api.batches |= {f"batch_{n}": mine | {"id": f"batch_{n}", "metadata": None} for n in range(150)}

    api.on_receipt = crowd
    api.faults_after["create"] = [refusal(500, "oops")]
    job = send()
    assert api.asked == ["upload", "create", "page", "page"]
    assert job.batch_ids == (next(iter(api.batches)),)


def test_an_upload_that_failed_is_made_again(api: FakeApi) -> None:
    api.faults_after["upload"] = [BrokenConnectionError("cut", url="u")]
    with pytest.raises(TransportError):
        send()
    send()
    assert api.asked == ["upload", "upload", "create"]


def test_a_refused_upload_says_what_the_provider_said(api: FakeApi) -> None:
    api.faults_before["upload"] = [refusal(400, "Invalid file format for Batch API. Must be .jsonl")]
    with pytest.raises(BadRequestError, match=r"Must be \.jsonl"):
        send()


def test_a_batch_can_be_sent_inside_a_running_loop_and_awaited(api: FakeApi) -> None:
    async def both() -> tuple[Job, Job]:
        return send(), await asend_batch(ROWS, MODEL, prompt="Rate: {text}", name="reviews")

    first, second = asyncio.run(both())
    assert first == second
    assert api.asked == ["upload", "create"]


def test_ctrl_c_says_that_the_same_line_goes_on(api: FakeApi) -> None:
    # Once: the create that may follow before the interrupt is heard must not send another one into the next test.
    api.on_receipt = lambda route: os.kill(os.getpid(), signal.SIGINT) if route == "upload" else None
    with pytest.raises(KeyboardInterrupt) as caught:
        send()
    assert caught.value.__notes__ == [AGAIN]


def test_a_cancelled_send_says_that_the_same_line_goes_on(api: FakeApi, clock: ManualClock) -> None:
    api.faults_before["create"] = [AnswerTimeoutError("slow", url="u")]
    with pytest.raises(AnswerTimeoutError):
        send()

    async def cancelled() -> list[str]:
        task = asyncio.create_task(asend_batch(ROWS, MODEL, prompt="Rate: {text}", name="reviews"))
        await asyncio.to_thread(clock.wait_for_sleepers, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value.__notes__

    assert asyncio.run(cancelled()) == [AGAIN]


def _in_this_context(work: Callable[[], object]) -> Callable[[], object]:
    """Return work for a thread that sends where this one does."""
    context = copy_context()
    return lambda: context.run(work)
