"""Trying again where the disk, the database or one batch is in trouble: nothing is given up, and it is told once."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tidyllm.core.clock import Clock
from tidyllm.core.errors import StorageError
from tidyllm.server.words import as_sentence

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_S = 1.0
"""How soon what failed for want of a disk is tried again."""
RETRY_MAX_S = 60.0
"""How long the same thing waits at most, when it has failed again and again."""
TROUBLE = (StorageError, OSError)
"""What passes when the disk is well again."""


async def patiently(attempt: Callable[[], Awaitable[T]], *, what: str, clock: Clock) -> T:
    """Return what `attempt` returns, as soon as the disk and the database let it."""
    failed = False
    while True:
        try:
            done = await attempt()
        except TROUBLE as error:
            if not failed:
                log.warning("%s has to wait: %s It is tried again until it works.", what, as_sentence(error))
            failed = True
            await clock.sleep(RETRY_S)
        else:
            if failed:
                log.info("%s goes on.", what)
            return done


class PutOff:
    """The batches that have to wait for another try, so that those behind them go on meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waits: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def put_off(self, batch_id: str, error: Exception, *, what: str) -> None:
        """Have a batch wait, longer each time, because of an error, which is told the first time."""
        if batch_id not in self._waits:
            passing = isinstance(error, TROUBLE)
            message = "%s of %s has to wait: %s It is tried again until it works."
            log.log(
                logging.WARNING if passing else logging.ERROR,
                message,
                *(what, batch_id, as_sentence(error)),
                exc_info=None if passing else error,
            )
        wait = self._waits[batch_id] = min(self._waits.get(batch_id, RETRY_S / 2) * 2, RETRY_MAX_S)
        self._due[batch_id] = self._clock.monotonic() + wait

    def settle(self, batch_id: str) -> None:
        """Forget a batch, whose try has succeeded."""
        self._waits.pop(batch_id, None)
        self._due.pop(batch_id, None)

    def waiting(self) -> set[str]:
        """Return the batches whose next try is not due yet."""
        now = self._clock.monotonic()
        return {batch_id for batch_id, due in self._due.items() if due > now}
