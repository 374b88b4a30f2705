"""Telling the database how a worker finds its upstreams, for whoever asks how they are and for the next worker."""

from tidyllm.core.clock import Clock
from tidyllm.server.patience import patiently
from tidyllm.server.records import UpstreamState
from tidyllm.server.thread import StoreThread
from tidyllm.server.upstream import Upstream
from tidyllm.server.upstreams import Upstreams

REPORT_EVERY_S = 2.0


class Reporter:
    """Tells what has changed, now and then, until it is cancelled."""

    def __init__(self, worker_id: str, upstreams: Upstreams, *, store: StoreThread, clock: Clock) -> None:
        self._worker_id = worker_id
        self._upstreams = upstreams
        self._store = store
        self._clock = clock
        self._told: list[UpstreamState] = []

    async def run(self) -> None:
        """Report again and again, the first time after a while."""
        while True:
            await self._clock.sleep(REPORT_EVERY_S)
            await patiently(self.run_once, what="Telling of the upstreams", clock=self._clock)

    async def run_once(self) -> bool:
        """Report what has changed; return whether anything had."""
        states = [self._state(upstream) for upstream in self._upstreams.all]
        if states == self._told:
            return False
        now = int(self._clock.now())
        await self._store.run(lambda store: store.note_upstreams(self._worker_id, states, now=now))
        self._told = states
        return True

    def _state(self, upstream: Upstream) -> UpstreamState:
        state, reason = upstream.trouble
        return UpstreamState(
            worker_id=self._worker_id,
            name=upstream.declared.name,
            state=state.value,
            reason=reason,
            limit_found=upstream.pace.concurrency.found,
            in_flight=upstream.pace.concurrency.in_flight,
            updated_at=0,
        )
