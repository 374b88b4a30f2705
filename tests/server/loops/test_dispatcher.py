"""Which line goes next, and the account of a shard."""

import math
from collections import Counter
from pathlib import Path

from tidyllm.core.batch import BatchUsage
from tidyllm.core.disk import LocalDisk
from tidyllm.core.jsonl import Line
from tidyllm.journal import Kind, Replay
from tidyllm.journals.disk import DiskJournal
from tidyllm.server.held import Held, HeldBatch
from tidyllm.server.loops.dispatcher import Dispatcher, Ready
from tidyllm.server.records import Lease, Shard

NOW = 1_000.0


def held(requests: int, batch_id: str = "batch_1", *, project: str = "p", expires_at: int = 10**6) -> Held:
    shard = Shard(number=0, line_first=1, requests=requests, offset=0, length=0)
    lease = Lease(
        batch_id=batch_id,
        endpoint="/v1/embeddings",
        input_blob="b",
        epoch=1,
        shard=shard,
        model="m",
        project_id=project,
        expires_at=expires_at,
        in_order=False,
        remaining=requests,
    )
    journal = DiskJournal(lambda: Path("never made"), disk=LocalDisk())
    return Held(lease, HeldBatch(lease, journal, Replay()), waiting=requests)


def filled(*shards: Held, alone: bool = False) -> Dispatcher:
    dispatcher = Dispatcher()
    add(dispatcher, *shards, alone=alone)
    return dispatcher


def add(dispatcher: Dispatcher, *shards: Held, alone: bool = False) -> None:
    for shard in shards:
        for number in range(1, shard.waiting + 1):
            dispatcher.add(Ready(shard, Line(number, 0, b"{}"), alone=alone))


def take(dispatcher: Dispatcher, model: str = "m") -> Ready:
    ready = dispatcher.take(lambda asked: asked == model, now=NOW)
    assert ready is not None
    return ready


def test_lines_of_a_batch_go_in_the_order_they_came_and_count_as_in_flight() -> None:
    shard = held(3)
    dispatcher = filled(shard)
    assert dispatcher.bytes_waiting == 6
    assert [take(dispatcher).line.number for _ in range(2)] == [1, 2]
    assert (shard.waiting, shard.in_flight, dispatcher.in_flight, dispatcher.bytes_waiting) == (1, 2, 2, 2)


def test_nothing_is_taken_for_a_model_that_cannot_be_asked() -> None:
    dispatcher = filled(held(1))
    assert dispatcher.take(lambda _: False, now=NOW) is None
    take(dispatcher)
    assert dispatcher.take(lambda _: True, now=NOW) is None


def test_a_small_batch_does_not_wait_behind_a_long_one() -> None:
    long, small = held(100, "long"), held(4, "small")
    dispatcher = filled(long)
    for _ in range(10):
        take(dispatcher)
    add(dispatcher, small)
    # Its share is as large as the other's, so it catches up first.
    assert [take(dispatcher).held for _ in range(4)] == [small] * 4


def test_batches_of_a_project_share_what_it_has_and_projects_share_all() -> None:
    shards = [held(100, "a1", project="a"), held(100, "a2", project="a"), held(100, "b1", project="b")]
    dispatcher = filled(*shards)
    taken = Counter(take(dispatcher).held.batch.id for _ in range(40))
    assert taken == {"a1": 10, "a2": 10, "b1": 20}


def test_what_ends_makes_room_for_the_one_who_has_least() -> None:
    first, second = held(100, "first"), held(100, "second")
    dispatcher = filled(first, second)
    out = [take(dispatcher) for _ in range(4)]
    for ready in out:
        if ready.held is second:
            dispatcher.ended(ready)
    assert [take(dispatcher).held for _ in range(2)] == [second, second]


def test_where_there_are_more_batches_than_places_each_has_its_turn() -> None:
    shards = [held(100, f"batch_{number}") for number in range(7)]
    dispatcher = filled(*shards)
    turns = []
    for _ in range(14):
        ready = take(dispatcher)
        turns.append(ready.held.batch.id)
        dispatcher.ended(ready)
    assert Counter(turns) == dict.fromkeys((shard.batch.id for shard in shards), 2)


def test_a_batch_that_would_miss_its_deadline_goes_first_up_to_half() -> None:
    long, late = held(100, "long"), held(100, "late", expires_at=int(NOW) + 10)
    late.batch.heard(seconds=1.0, size=1)
    dispatcher = filled(long, late)
    for _ in range(8):
        dispatcher.take(lambda _: True, now=NOW)
    late.batch.remaining = 10_000
    assert (long.in_flight, late.in_flight) == (4, 4)
    other = held(100, "other", project="q")
    add(dispatcher, other)
    taken = [take(dispatcher).held.batch.id for _ in range(12)]
    # 20 are in flight then: it has half of them, and the others what is left.
    assert late.in_flight == 10
    assert taken.count("late") == 6


def test_more_lines_are_asked_for_once_when_a_batch_runs_low() -> None:
    shard = held(5)
    dispatcher = filled(shard)
    dispatcher.stock = 3
    seen = []
    for _ in range(4):
        take(dispatcher)
        seen.append(dispatcher.hungry)
        dispatcher.hungry = False
    assert seen == [False, False, True, False]
    assert dispatcher.stocked(1) == {"batch_1"}
    assert dispatcher.stocked(2) == set()
    add(dispatcher, shard)
    take(dispatcher)
    assert dispatcher.hungry


def test_more_lines_are_asked_for_again_where_others_were_enough_meanwhile() -> None:
    # The stock follows the limit that is found: a batch that ran low of a large stock has enough of a small one, gets
    # nothing, and was never asked for again.
    dispatcher = filled(held(12))
    dispatcher.stock = 10
    for _ in range(3):
        take(dispatcher)
    assert dispatcher.hungry
    dispatcher.stock, dispatcher.hungry = 5, False
    assert dispatcher.stocked(dispatcher.stock) == {"batch_1"}
    for _ in range(5):
        take(dispatcher)
    assert dispatcher.hungry


def test_a_batch_that_has_run_dry_asks_for_more() -> None:
    dispatcher = filled(held(1))
    ready = take(dispatcher)
    dispatcher.hungry = False
    dispatcher.ended(ready)
    assert dispatcher.hungry


def test_a_line_to_be_asked_again_waits_for_its_time_and_then_goes_first() -> None:
    shard = held(2)
    dispatcher = filled(shard)
    first = take(dispatcher)
    dispatcher.ended(first)
    shard.waiting += 1
    dispatcher.add_later(first._replace(tries=1), NOW + 5)
    assert dispatcher.next_due(NOW) == 5
    assert dispatcher.next_due(NOW + 5) == math.inf
    again = take(dispatcher)
    assert (again.line, again.tries) == (first.line, 1)
    assert shard.waiting == 1


def test_lines_to_be_asked_again_at_the_same_time_keep_their_order() -> None:
    shard = held(4)
    dispatcher = filled(shard)
    for ready in [take(dispatcher) for _ in range(3)]:
        dispatcher.ended(ready)
        shard.waiting += 1
        dispatcher.add_later(ready, NOW)
    dispatcher.next_due(NOW)
    assert [take(dispatcher).line.number for _ in range(4)] == [1, 2, 3, 4]


def test_a_stopped_batch_loses_its_waiting_lines_and_no_other_does() -> None:
    stopped, other = held(3, "stopped"), held(2, "other")
    dispatcher = filled(stopped, other)
    first = take(dispatcher)
    later = take(dispatcher) if first.held is other else first
    dispatcher.ended(later)
    stopped.waiting += 1
    dispatcher.add_later(later, NOW + 5)
    dispatcher.drop(stopped.batch)
    assert (stopped.waiting, dispatcher.next_due(NOW + 9)) == (0, math.inf)
    assert {take(dispatcher).held for _ in range(other.waiting)} == {other}
    assert dispatcher.bytes_waiting == 0


def test_lines_under_suspicion_are_in_flight_one_at_a_time_beside_others() -> None:
    suspect, other = held(3), held(1, "other")
    dispatcher = filled(suspect, alone=True)
    add(dispatcher, other)
    first, second = take(dispatcher), take(dispatcher)
    assert {first.held, second.held} == {suspect, other}
    assert dispatcher.take(lambda _: True, now=NOW) is None
    dispatcher.ended(first if first.alone else second)
    assert take(dispatcher).line.number == 2
    dispatcher.drop(suspect.batch)
    assert (suspect.waiting, suspect.in_flight) == (0, 1)


def test_a_closed_dispatcher_hands_out_nothing() -> None:
    shard = held(2)
    dispatcher = filled(shard)
    dispatcher.add_later(take(dispatcher), NOW)
    shard.waiting += 1
    dispatcher.close()
    dispatcher.next_due(NOW + 1)
    assert dispatcher.take(lambda _: True, now=NOW) is None
    assert shard.waiting == 0


def test_a_shard_is_done_when_all_is_answered_or_its_batch_has_stopped() -> None:
    shard = held(2)
    shard.waiting, shard.in_flight = 0, 1
    shard.count(Kind.ANSWERED, BatchUsage(input_tokens=3))
    seen = [shard.done]
    for in_flight, abandoned in ((0, False), (1, True), (0, True), (0, False)):
        shard.in_flight, shard.abandoned = in_flight, abandoned
        seen.append(shard.done)
    assert seen == [False, False, False, True, False]
    shard.count(Kind.FAILED, BatchUsage())
    report = shard.report()
    assert (report.done, report.completed, report.failed, report.usage.input_tokens) == (True, 1, 1, 3)
