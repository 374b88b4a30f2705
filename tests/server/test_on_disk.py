import asyncio
import threading

import pytest

from tidyllm.server.on_disk import on_disk


def test_result_and_error_of_the_operation_come_back() -> None:
    async def run() -> None:
        assert await on_disk(lambda: 5) == 5
        with pytest.raises(FileNotFoundError):
            await on_disk(lambda: open("/nowhere/at/all"))  # noqa: PTH123, SIM115 - any failing operation will do

    asyncio.run(run())


def test_cancelled_caller_waits_for_the_thread() -> None:
    began, may_end, done = threading.Event(), threading.Event(), threading.Event()

    def operation() -> None:
        began.set()
        assert may_end.wait(30)
        done.set()

    async def run() -> None:
        caller = asyncio.ensure_future(on_disk(operation))
        assert await asyncio.to_thread(began.wait, 30)
        caller.cancel()
        asyncio.get_running_loop().call_soon(may_end.set)
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert done.is_set()

    asyncio.run(run())
