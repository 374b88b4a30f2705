"""An exchange that is carried to its end even when the task that awaits it is cancelled, at no cost until then."""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import TypeVar

T = TypeVar("T")


@types.coroutine
def unbroken(
    exchange: "Coroutine[object, object, T]", hand_over: "Callable[[Coroutine[object, object, T]], object]"
) -> Generator[object, None, T]:
    """Return what `exchange` returns; if the awaiting task is cancelled first, `hand_over` gets the half-run exchange.

    The same promise as `asyncio.shield`, without a task per exchange: that task would cost a fifth of a small call.
    It holds only for an exchange that awaits pyreqwest alone: its coroutines find their place again when they are
    polled once more, while a plain asyncio future would have been cancelled with the task.
    """
    while True:
        try:
            waiting_for = exchange.send(None)
        except StopIteration as end:
            answer: T = end.value
            return answer
        try:
            yield waiting_for
        except asyncio.CancelledError:
            hand_over(exchange)
            raise
