"""Lists of batches, looks at single ones, waiting for them, and asking them to stop."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tests.client.fake_api import FakeApi, Fault, refusal
from tidyllm import (
    Job,
    acancel_batch,
    acheck_batch,
    alist_batches,
    await_batch,
    cancel_batch,
    check_batch,
    list_batches,
    openai,
    send_batch,
    using,
    wait_batch,
)
from tidyllm.core.errors import (
    AuthError,
    BadAnswerError,
    ConflictError,
    ConnectError,
    NotDoneError,
    NotFoundError,
    SettingError,
)
from tidyllm.core.wire import Response
from tidyllm.testing import ManualClock, Player, play

EXCHANGES = Path(__file__).parents[1] / "exchanges" / "openai"
FIRST_COLUMNS = {
    "batch_id": pl.String,
    "status": pl.String,
    "created_at": pl.Datetime("us", "UTC"),
    "expires_at": pl.Datetime("us", "UTC"),
    "request_total": pl.Int64,
    "request_completed": pl.Int64,
    "request_failed": pl.Int64,
}


def recorded() -> Player:
    return play(EXCHANGES / "list_batches.json", EXCHANGES / "list_batches_last_page.json")


def send(number: int = 1) -> Job:
    return send_batch([f"row {number}"], openai("m", api="chat_completions"), name=f"job-{number}")


def test_the_recorded_page_becomes_a_table() -> None:
    with using(recorded()):
        table = list_batches(openai(), limit=20)
    assert table.height == 20
    assert dict(list(table.schema.items())[:7]) == FIRST_COLUMNS
    assert table.row(0)[:7] == (
        "batch_680b8e3d92208190a7c2b25ef89cd8b5",
        "completed",
        datetime(2025, 4, 25, 13, 29, 33, tzinfo=UTC),
        datetime(2025, 4, 26, 13, 29, 33, tzinfo=UTC),
        575,
        575,
        0,
    )
    assert table.columns[7:13] == [
        "provider",
        "model",
        "endpoint",
        "completed_at",
        "output_file_id",
        "error_file_id",
    ]
    assert table["provider"].unique().to_list() == ["openai"]


def test_a_batch_whose_requests_all_failed_is_a_row_like_the_others() -> None:
    with using(recorded()):
        failed = list_batches("openai", limit=20).filter(pl.col("request_failed") > 0)
    assert failed.select("status", "request_total", "request_completed", "request_failed").rows() == [
        ("completed", 4, 0, 4)
    ]
    assert failed["output_file_id"].to_list() == [None]
    assert failed["error_file_id"].null_count() == 0


def test_the_list_is_followed_to_its_last_page() -> None:
    player = recorded()
    with using(player):
        table = list_batches(openai())
    assert table.height == 22
    assert len(player.sent) == 2
    assert table["status"].to_list()[-2:] == ["failed", "expired"]
    assert table["error"].to_list()[-2:] == [
        "line 2: This line is not parseable as valid JSON. (invalid_json_line)",
        None,
    ]
    assert table["error_file_id"].to_list()[-2] is None
    assert table["metadata"].to_list()[-2] == '{"tidyllm_job":"reviews"}'
    assert table.select("tokens_in", "tokens_out").row(-1) == (120, 40)


def test_a_list_can_be_awaited() -> None:
    async def listed() -> pl.DataFrame:
        with using(recorded()):
            return await alist_batches(openai())

    assert asyncio.run(listed()).height == 22


@pytest.mark.parametrize(
    ("limit", "urls"),
    [
        (5, ["limit=5"]),
        (100, ["limit=100"]),
        (120, ["limit=100", "limit=20&after="]),
        (None, ["limit=20", "limit=100"]),
    ],
)
def test_a_limit_asks_for_no_more_than_it_needs(api: FakeApi, limit: int | None, urls: list[str]) -> None:
    for number in range(130):
        send(number)
    asked: list[str] = []
    api.on_request = asked.append
    table = list_batches(openai(), limit=limit)
    assert table.height == (limit or 130)
    assert [part in url for part, url in zip(urls, asked, strict=False)] == [True] * len(urls)
    assert len(asked) == (3 if limit is None else len(urls))


def test_a_limit_below_one_is_refused(api: FakeApi) -> None:
    with pytest.raises(SettingError, match="at least 1"):
        list_batches(openai(), limit=0)
    assert api.asked == []


@pytest.mark.usefixtures("api")
def test_an_empty_list_has_all_its_columns_typed() -> None:
    empty = list_batches(openai())
    assert empty.height == 0
    send()
    assert empty.schema == list_batches(openai()).schema


def test_a_status_that_nobody_knows_is_shown_as_it_is(api: FakeApi) -> None:
    send()
    api.end(status="archived")
    assert list_batches(openai())["status"].to_list() == ["archived"]


def test_a_list_that_goes_round_in_circles_is_an_error(api: FakeApi) -> None:
    for number in range(30):
        send(number)
    api.ignores_after = True
    api.page_max = 10
    with pytest.raises(BadAnswerError, match="repeats"):
        list_batches(openai())


def test_a_check_shows_how_a_job_stands_now(api: FakeApi) -> None:
    job = send()
    assert check_batch(job)["status"].to_list() == ["validating"]
    api.complete()
    table = check_batch("job-1")
    assert table.select("batch_id", "status", "request_completed").rows() == [(job.batch_ids[0], "completed", 1)]
    assert table.schema == list_batches(openai()).schema
    assert asyncio.run(acheck_batch(job)).equals(table)


def test_any_batch_can_be_checked_by_its_id(api: FakeApi) -> None:
    send()
    assert check_batch(next(iter(api.batches)), provider="openai").height == 1
    with pytest.raises(NotFoundError, match="No batch found"):
        check_batch("batch_none", provider=openai())


def test_a_job_can_be_asked_to_stop(api: FakeApi) -> None:
    assert cancel_batch(send())["status"].to_list() == ["cancelling"]
    assert asyncio.run(acancel_batch("job-1"))["status"].to_list() == ["cancelling"]
    api.faults_before["cancel"] = [refusal(409, "Cannot cancel a batch with status 'completed'.")]
    with pytest.raises(ConflictError, match="completed"):
        cancel_batch("job-1")


def test_waiting_looks_less_and_less_often_until_the_end(api: FakeApi, clock: ManualClock) -> None:
    job = send()
    tables: list[pl.DataFrame] = []
    waiting = in_background(lambda: tables.append(wait_batch(job, poll_s=2, progress=False)))
    for pause in (1, 1.5, 2, 2):
        clock.wait_for_sleepers(1)
        assert tables == []
        clock.advance(pause)
    clock.wait_for_sleepers(1)
    api.complete()
    clock.advance(2)
    waiting.join(10)
    assert tables[0]["status"].to_list() == ["completed"]
    assert api.asked[2:] == ["get"] * 6


def test_waiting_ends_when_its_time_is_up_and_the_job_goes_on(api: FakeApi, clock: ManualClock) -> None:
    job = send()
    faults: list[NotDoneError] = []

    def wait() -> None:
        with pytest.raises(NotDoneError, match=r"still validating after 1\.5 s") as caught:
            wait_batch(job, timeout_s=1.5)
        faults.append(caught.value)

    waiting = in_background(wait)
    for pause in (1, 0.5):
        clock.wait_for_sleepers(1)
        clock.advance(pause)
    waiting.join(10)
    assert faults[0].status == "validating"
    assert "cancel" not in api.asked


def test_waiting_outlasts_an_outage_and_tells_of_it_once(
    api: FakeApi, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    job = send()
    outage: list[Fault] = [ConnectError("No connection.", url="u"), refusal(503, "busy"), refusal(429, "slow down")]
    api.faults_before["get"] = list(outage)
    tables: list[pl.DataFrame] = []
    with caplog.at_level(logging.WARNING, "tidyllm"):
        waiting = in_background(lambda: tables.append(wait_batch(job, poll_s=1, progress=False)))
        for _ in outage:
            clock.wait_for_sleepers(1)
            clock.advance(1)
        clock.wait_for_sleepers(1)
        api.faults_before["get"] = [refusal(500, "again")]
        clock.advance(1)
        clock.wait_for_sleepers(1)
        api.complete()
        clock.advance(1)
        waiting.join(10)
    assert tables[0]["status"].to_list() == ["completed"]
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "a look at it failed, and is tried again until one succeeds: No connection.",
        "a look at it failed, and is tried again until one succeeds: openai answered 500: again",
    ]


def test_waiting_that_ends_in_an_outage_says_what_was_wrong(api: FakeApi, clock: ManualClock) -> None:
    job = send()
    lost = ConnectError("No connection.", url="u")
    api.faults_before["get"] = [refusal(500, "oops"), lost]
    faults: list[NotDoneError] = []

    def wait() -> None:
        with pytest.raises(NotDoneError, match=r"cannot be seen after 1 s") as caught:
            wait_batch(job, timeout_s=1)
        faults.append(caught.value)

    waiting = in_background(wait)
    clock.wait_for_sleepers(1)
    clock.advance(1)
    waiting.join(10)
    assert faults[0].__cause__ is lost


def test_waiting_pauses_for_as_long_as_the_provider_asks(api: FakeApi, clock: ManualClock) -> None:
    job = send()
    api.faults_before["get"] = [Response(status=429, headers={"retry-after": "300"})]
    waiting = in_background(lambda: wait_batch(job, progress=False))
    clock.wait_for_sleepers(1)
    api.complete()
    clock.advance(299)
    assert api.asked[2:] == ["get"]
    clock.advance(1)
    waiting.join(10)
    assert api.asked[2:] == ["get", "get"]


def test_waiting_ends_at_once_where_no_waiting_helps(api: FakeApi) -> None:
    job = send()
    api.faults_before["get"] = [refusal(401, "Incorrect API key provided")]
    with pytest.raises(AuthError):
        wait_batch(job)


def test_waiting_for_a_status_that_nobody_knows_is_an_error(api: FakeApi) -> None:
    job = send()
    api.end(status="archived")
    with pytest.raises(NotDoneError, match="'archived' is unknown"):
        wait_batch(job)


def test_waiting_for_what_has_ended_returns_at_once(api: FakeApi) -> None:
    job = send()
    api.complete()
    assert wait_batch(job)["status"].to_list() == ["completed"]
    assert asyncio.run(await_batch(job))["status"].to_list() == ["completed"]


def test_ctrl_c_ends_the_waiting_and_says_how_to_go_on(api: FakeApi) -> None:
    job = send()
    api.on_receipt = lambda _: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as caught:
        wait_batch(job)
    assert caught.value.__notes__ == [
        "The batch goes on without us: wait_batch('job-1') waits again, fetch_batch('job-1') fetches what it gave."
    ]
    assert "cancel" not in api.asked


def test_a_cancelled_wait_says_how_to_go_on(api: FakeApi, clock: ManualClock) -> None:
    (batch_id,) = send().batch_ids

    async def cancelled() -> list[str]:
        task = asyncio.create_task(await_batch(batch_id, openai("m", api="chat_completions")))
        await asyncio.to_thread(clock.wait_for_sleepers, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value.__notes__

    assert "wait_batch('job-1')" in asyncio.run(cancelled())[0]
    assert "cancel" not in api.asked


def in_background(work: Callable[[], object]) -> threading.Thread:
    """Run in a thread that sends where this one does."""
    thread = threading.Thread(target=copy_context().run, args=(work,))
    thread.start()
    return thread
