"""The upstreams of a worker: which of them answer for a model, and which of those is asked next."""

import math
from collections.abc import Callable, Sequence

import msgspec

from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.upstream import Upstream


class Way(msgspec.Struct, frozen=True):
    """How a model can be asked now."""

    upstream: Upstream | None
    """Null where it cannot."""
    wait_s: float = 0.0
    """Then, after how many seconds to look again; infinite where something has to happen first."""
    room: int = 1
    """So many requests, at least, can go there before this has to be asked again."""


class Upstreams:
    """Those that are declared; `make` makes one of them as this worker asks it."""

    def __init__(
        self,
        declared: Callable[[], Sequence[UpstreamSettings]],
        make: Callable[[UpstreamSettings], Upstream],
    ) -> None:
        self._declared = declared
        self._make = make
        self._seen: Sequence[UpstreamSettings] = ()
        self.all: list[Upstream] = []
        self._fitting: dict[str, list[Upstream]] = {}
        """Those that answer for a model, found once."""
        self.refresh()

    def takes(self, *, within_s: float) -> int:
        """Return how many requests they take within that time, all together: those that they take at once, or more."""
        return round(sum(upstream.pace.concurrency.takes(within_s=within_s) for upstream in self.all))

    def refresh(self) -> None:
        """Take what is declared now: what goes to the same place with the same key goes on, others begin anew."""
        declared = self._declared()
        if declared is self._seen:
            return
        self._seen = declared
        self._fitting.clear()
        known = {_place(upstream.declared): upstream for upstream in self.all}
        self.all = [known.get(_place(one)) or self._make(one) for one in declared]
        for upstream, one in zip(self.all, declared, strict=True):
            upstream.declare(one)

    def way(self, model: str, *, now: float) -> Way:
        """Return the upstream that is to be asked next for a model: of those that can be, the one with least to do."""
        fitting = self._fitting.get(model)
        if fitting is None:
            fitting = self._fitting[model] = [upstream for upstream in self.all if upstream.takes(model)]
        if len(fitting) == 1:
            wait_s = fitting[0].wait_s(model, now=now)
            return Way(None, wait_s) if wait_s > 0 else Way(fitting[0], room=fitting[0].room)
        waits = [upstream.wait_s(model, now=now) for upstream in fitting]
        free = [upstream for upstream, wait_s in zip(fitting, waits, strict=True) if wait_s <= 0]
        if free:
            return Way(min(free, key=lambda upstream: upstream.load))
        return Way(None, min(waits, default=math.inf))


def _place(declared: UpstreamSettings) -> tuple[str, str, str | None]:
    return declared.name, declared.base_url, declared.key_env
