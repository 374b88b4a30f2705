"""Having Python's collector of cycles come seldom while runs last: it takes a seventh of their time, for nothing."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = 50_000
"""How many objects more than before there must be for the collector to come; 700 is Python's own."""
_LOCK = threading.Lock()
_LASTING: list[tuple[int, int, int]] = []
"""For each run that lasts, what held before the first of them."""


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Raise the collector's threshold while the block runs, unless it is off or higher."""
    with _LOCK:
        before = _LASTING[0] if _LASTING else gc.get_threshold()
        _LASTING.append(before)
        if 0 < before[0] < THRESHOLD:
            gc.set_threshold(THRESHOLD, *before[1:])
    try:
        yield
    finally:
        with _LOCK:
            before = _LASTING.pop()
            if not _LASTING:
                gc.set_threshold(*before)
