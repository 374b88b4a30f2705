"""What the database is told of upstreams."""

import asyncio

from tests.server.loops.conftest import House
from tidyllm.server.loops.reporter import Reporter
from tidyllm.testing import SimulatedModel


def test_what_has_changed_is_told_and_nothing_else(house: House, model: SimulatedModel) -> None:
    async def scenario() -> None:
        await house.start(20)
        model.hold()
        async with house.worker() as worker:
            reporter = Reporter("worker_1", worker._upstreams, store=house.store, clock=house.clock)
            await asyncio.to_thread(model.witness.wait, received=8)
            assert await reporter.run_once()
            assert not await reporter.run_once()
            (state,) = await house.ask(lambda store: store.upstream_states())
            assert (state.name, state.state, state.reason, state.in_flight) == ("default", "well", None, 8)
            model.release()
            await house.until(lambda batch: batch.counts.completed == 20)
            assert await reporter.run_once()
            (state,) = await house.ask(lambda store: store.upstream_states())
            assert state.in_flight == 0

    asyncio.run(scenario())
