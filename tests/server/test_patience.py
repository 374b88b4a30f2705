import asyncio

import pytest

from tidyllm.core.errors import StorageError
from tidyllm.server.patience import PutOff, patiently
from tidyllm.testing import ManualClock


def test_what_fails_for_want_of_a_disk_is_tried_until_it_works_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures: list[Exception] = [StorageError("The disk is full."), OSError("again"), StorageError("and again")]

    async def attempt() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    async def scenario() -> str:
        clock = ManualClock()
        trying = asyncio.create_task(patiently(attempt, what="Counting", clock=clock))
        for _ in range(3):
            await asyncio.to_thread(clock.wait_for_sleepers, 1)
            clock.advance(1)
        return await trying

    with caplog.at_level("INFO"):
        assert asyncio.run(scenario()) == "done"
    assert [record.message for record in caplog.records if record.name.startswith("tidyllm")] == [
        "Counting has to wait: The disk is full. It is tried again until it works.",
        "Counting goes on.",
    ]


def test_what_fails_otherwise_is_not_tried_again() -> None:
    async def attempt() -> None:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="of ours"):
        asyncio.run(patiently(attempt, what="Counting", clock=ManualClock()))


def test_a_batch_waits_longer_each_time_up_to_a_limit_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    errors = [OSError("no space left"), ValueError("a fault of ours")]
    clock = ManualClock()
    put_off = PutOff(clock)
    waits = []
    for number in range(9):
        put_off.put_off("batch_1", errors[number % 2], what="The finish")
        began = clock.monotonic()
        while put_off.waiting():
            clock.advance(0.5)
        waits.append(clock.monotonic() - began)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    (told,) = caplog.records
    assert (told.levelname, told.exc_info) == ("WARNING", None)
    put_off.put_off("batch_1", errors[0], what="The finish")
    put_off.settle("batch_1")
    assert put_off.waiting() == set()
    put_off.put_off("batch_1", errors[1], what="The finish")
    assert caplog.records[-1].levelname == "ERROR"
    assert caplog.records[-1].exc_info is not None
