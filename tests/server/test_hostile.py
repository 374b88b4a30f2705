"""Upstreams that misbehave, in front of a whole server: every line ends exactly once, in the right file."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.loops.conftest import DEADLINE_S, House
from tidyllm.core.batch import BatchStatus
from tidyllm.server.health import State
from tidyllm.server.loops.worker import Worker
from tidyllm.server.records import BatchRecord
from tidyllm.server.store import DEFAULT_PROJECT
from tidyllm.testing import Behavior, OverCapacity, simulated_model
from tidyllm.testing.witness import Counts
from tidyllm.transport.concurrency import LIMIT_FIRST

LINES = 400
MIB = 1024 * 1024
BEHAVIORS = {
    "rate limits": Behavior(rate_limit_rate=0.05, retry_after_s=0.02),
    "errors": Behavior(error_rate=0.01),
    "resets": Behavior(reset_rate=0.02),
    "hangs": Behavior(hang_rate=0.01),
    "cut bodies": Behavior(cut_rate=0.02),
    "no JSON": Behavior(broken_rate=0.02),
    "pretty-printed": Behavior(pretty_rate=0.5),
    "wrong content types": Behavior(wrong_type_rate=0.5),
    "huge bodies": Behavior(huge_rate=0.01, huge_bytes=8 * MIB),
    "bombs": Behavior(bomb_rate=0.01, huge_bytes=64 * MIB),
    "bad requests": Behavior(bad_request_rate=0.05),
    "redirects": Behavior(redirect_rate=0.02),
    "drips": Behavior(drip_rate=0.02, drip_s=0.2),
    "an outage": Behavior(outage_after=100, outage_s=0.5),
    "silent queueing": Behavior(latency_ms=5, capacity=4),
    "refusals": Behavior(latency_ms=5, capacity=4, over_capacity=OverCapacity.REFUSE, retry_after_s=0.01),
    "half the capacity": Behavior(latency_ms=5, capacity=8, capacity_changes=((200, 4),)),
    "all at once": Behavior(
        rate_limit_rate=0.05,
        retry_after_s=0.02,
        error_rate=0.01,
        reset_rate=0.01,
        cut_rate=0.01,
        pretty_rate=0.1,
        bad_request_rate=0.01,
        redirect_rate=0.01,
    ),
}
FAILURES: dict[str, set[int | str]] = {
    "errors": {500},
    "resets": {"server_error"},
    "hangs": {"request_timeout"},
    "cut bodies": {"server_error"},
    "no JSON": {"server_error"},
    "huge bodies": {"server_error"},
    "bombs": {"server_error"},
    "bad requests": {400},
    "redirects": {307},
    "all at once": {307, 400, 500, "server_error"},
}
"""What the lines of the error file may say; of the others there are none."""
SETTINGS: dict[str, Any] = {
    "concurrency": 64,
    "request_timeout_s": 2.0,
    "response_bytes_max": MIB,
    "retry_delay_first_s": 0.01,
    "retry_delay_max_s": 0.1,
}


def ended(tmp_path: Path, behavior: Behavior) -> tuple[BatchRecord, list[dict[str, object]], Counts]:
    """Return a batch that an upstream of such a behavior has answered, its result lines and what was asked."""

    async def scenario() -> tuple[BatchRecord, list[dict[str, object]]]:
        house = House(tmp_path / "data", model.base_url, **SETTINGS)
        await house.start(LINES)
        async with house.worker():
            await house.until(lambda batch: batch.counts.completed + batch.counts.failed == LINES)
            assert await house.finisher.run_once()
        batch = await house.batch()
        lines: list[dict[str, object]] = []
        for file_id in (batch.output_file_id, batch.error_file_id):
            lines += [] if file_id is None else await house.lines(file_id)
        house.store.close()
        return batch, lines

    with simulated_model(behavior) as model:
        batch, lines = asyncio.run(scenario())
        return batch, lines, model.witness.counts()


@pytest.mark.parametrize("name", BEHAVIORS)
def test_every_line_ends_once_and_in_the_right_file(tmp_path: Path, name: str) -> None:
    batch, lines, counts = ended(tmp_path, BEHAVIORS[name])
    assert batch.status is BatchStatus.COMPLETED
    assert Counter(line["custom_id"] for line in lines) == {f"row-{number}": 1 for number in range(LINES)}
    good = [line for line in lines if line["error"] is None and line["response"]["status_code"] == 200]  # type: ignore[index]
    assert len(good) == batch.counts.completed
    for line in good:
        number = str(line["custom_id"]).removeprefix("row-")
        assert f"question {number} of batch_1" in json.dumps(line["response"])
    failed = [line for line in lines if line not in good]
    assert {_said(line) for line in failed} <= FAILURES.get(name, set())
    assert counts.received >= LINES


def _said(line: dict[str, object]) -> object:
    """Return how a line of the error file failed: the upstream's status, with its own words, or our code."""
    response, error = line["response"], line["error"]
    if isinstance(response, dict):
        assert "simulated" in json.dumps(response["body"])
        return response["status_code"]
    assert isinstance(error, dict)
    return error["code"]


async def seen(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - a worker sets no event for that
            await asyncio.sleep(0.005)


def is_at(worker: Worker, state: State) -> bool:
    (upstream,) = worker._upstreams.all
    return upstream.trouble[0] is state


@pytest.mark.parametrize("behavior", [Behavior(key="right"), Behavior(models=("other",))])
def test_what_somebody_has_to_put_right_costs_no_line_and_few_requests(tmp_path: Path, behavior: Behavior) -> None:
    async def scenario(base_url: str, mended_url: str) -> BatchRecord:
        house = House(tmp_path / "data", base_url, **SETTINGS)
        await house.start(LINES)
        async with house.worker("worker_1") as worker:
            await seen(lambda: is_at(worker, State.PAUSED) and not worker._dispatcher.in_flight)
        async with house.worker("worker_2", upstream=mended_url):
            batch = await house.until(lambda batch: batch.counts.completed == LINES)
        house.store.close()
        return batch

    with simulated_model(behavior) as model, simulated_model() as mended:
        assert asyncio.run(scenario(model.base_url, mended.base_url)).counts.failed == 0
        assert model.witness.counts().received <= LIMIT_FIRST
        assert mended.witness.counts().received == LINES


def test_an_upstream_that_was_away_costs_no_line(tmp_path: Path) -> None:
    async def scenario(base_url: str, port: int) -> BatchRecord:
        house = House(tmp_path / "data", base_url, **SETTINGS)
        await house.start(LINES)
        async with house.worker() as worker:
            await seen(lambda: is_at(worker, State.DOWN))
            with simulated_model(port=port):
                batch = await house.until(lambda batch: batch.counts.completed == LINES)
        house.store.close()
        return batch

    with simulated_model() as gone:
        port = int(gone.root.rpartition(":")[2])
    assert asyncio.run(scenario(gone.base_url, port)).counts.failed == 0


def test_requests_that_hang_do_not_keep_the_next_batch_waiting(tmp_path: Path) -> None:
    async def scenario(base_url: str) -> BatchRecord:
        settings = SETTINGS | {"concurrency": 4, "request_timeout_s": 60.0, "cancel_grace_s": 0.05}
        house = House(tmp_path / "data", base_url, **settings)
        await house.start(8)
        async with house.worker():
            await asyncio.to_thread(model.witness.wait, received=4)
            await house.ask(lambda store: store.cancel_batch(DEFAULT_PROJECT, "batch_1", now=house.now))
            await house.start(4, batch_id="batch_2")
            await asyncio.to_thread(model.witness.wait, received=8)
            model.release()
            batch = await house.until(lambda batch: batch.counts.completed == 4, "batch_2")
        house.store.close()
        return batch

    with simulated_model() as model:
        model.hold()
        assert asyncio.run(scenario(model.base_url)).counts.failed == 0
