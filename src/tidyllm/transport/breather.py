"""Stepping aside: a loop's thread lets the network's thread hand over the answers that it has.

The network's thread needs the interpreter's lock for each answer, and work on answers holds it. Every wait for that
lock, and every turn between the two threads, costs as much as the work on an answer itself; where many answers are
handed over at once there are few of them.
"""

import asyncio
import time
from collections.abc import Callable

ASIDE_S = 0.0002
"""Long enough for several answers, and short beside the time that any model takes for one."""
TURNS = 2
"""Of the loop, from an answer to the request that takes its place: what can be sent is sent first."""


def step_aside() -> None:
    """Leave the interpreter to the other threads for a moment."""
    time.sleep(ASIDE_S)


class Breather:
    """Lets the thread of the running loop step aside once for all answers that came together."""

    def __init__(self, step_aside: Callable[[], object] = step_aside) -> None:
        self._step_aside = step_aside
        self._turns = 0
        """How many there are to go."""

    def answered(self) -> None:
        """Hear that an answer was worked on."""
        if not self._turns:
            self._turns = TURNS
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turns -= 1
        if self._turns:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._step_aside()
