"""An outage of two hours, lived through in seconds: the worker's clock and its loop run two thousand times as fast."""

import asyncio
import selectors
import time
from pathlib import Path

from tests.server.loops.conftest import DEADLINE_S, House
from tidyllm.testing import Behavior, simulated_model

SCALE = 2000
OUTAGE_S = 2 * 3600
CONCURRENCY = 8
PROBES_MAX = 2 * OUTAGE_S / 30
"""One request in half a minute finds out whether the upstream is back; the first ones come sooner."""


class FastClock:
    """A clock of which many seconds pass in one."""

    def now(self) -> float:
        return time.time() + time.monotonic() * (SCALE - 1)

    def monotonic(self) -> float:
        return time.monotonic() * SCALE

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FastSelector(selectors.DefaultSelector):
    """What a loop waits with, as long as the fast seconds last that it asks for."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout / SCALE if timeout else timeout)


class FastLoop(asyncio.SelectorEventLoop):
    """A loop whose timers follow the fast clock."""

    def __init__(self) -> None:
        super().__init__(FastSelector())

    def time(self) -> float:
        return super().time() * SCALE


def test_an_outage_of_two_hours_costs_no_line_and_the_upstream_is_seldom_asked(tmp_path: Path) -> None:
    async def scenario(house: House) -> float:
        await house.start(60)
        async with house.worker(clock=FastClock()), asyncio.timeout(DEADLINE_S * SCALE):
            began = time.monotonic()
            while (await house.batch()).counts.completed < 60:  # noqa: ASYNC110 - a database sets no event
                await asyncio.sleep(0.01 * SCALE)
            return (time.monotonic() - began) * SCALE

    with simulated_model(Behavior(outage_after=21, outage_s=OUTAGE_S / SCALE)) as model:
        house = House(tmp_path, model.base_url, cancel_grace_s=10.0 * SCALE)
        with asyncio.Runner(loop_factory=FastLoop) as runner:
            took_s = runner.run(scenario(house))
        house.store.close()
    assert took_s >= OUTAGE_S
    assert model.witness.counts().received <= 60 + CONCURRENCY + PROBES_MAX
