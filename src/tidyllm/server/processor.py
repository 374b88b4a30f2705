"""Which processor a worker runs on: one alone, as its threads take turns with the interpreter's lock anyway.

A turn that passes from one processor to another costs so much that all of a worker's lines take a quarter more time.
"""

import contextlib
import os
import sys


def keep_to_one(number: int) -> None:
    """Have this process run on one of the processors that it may use, the next `number` on the next one.

    It has to be called before the process begins threads. Where another program wants the same processor the two
    share it; only Linux lets a process say this.
    """
    if sys.platform != "linux":  # pragma: no cover - elsewhere the system moves it about.
        return
    allowed = sorted(os.sched_getaffinity(0))
    # Workers of several servers on the same machine do not all begin with the same one.
    chosen = allowed[(os.getppid() + number) % len(allowed)]
    with contextlib.suppress(OSError):  # A sandbox may forbid it: then it is only slower.
        os.sched_setaffinity(0, {chosen})
