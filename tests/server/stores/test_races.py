"""What the contract promises when several processes ask at once: each thread here has a connection of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from tests.server.stores.samples import MINE, NOW, Connect, a_batch, a_report, an_ending, shards_of, start_a_batch
from tidyllm.core.batch import BatchStatus, RequestCounts
from tidyllm.server.records import Lease
from tidyllm.server.store import Store

T = TypeVar("T")
DEADLINE_S = 60.0


def at_once(connect: Connect, acts: Sequence[Callable[[Store], T]]) -> list[T]:
    """Return what each act returns, all begun together on a connection of their own."""
    barrier = Barrier(len(acts))

    def perform(act: Callable[[Store], T]) -> T:
        store = connect()
        barrier.wait(DEADLINE_S)
        return act(store)

    with ThreadPoolExecutor(len(acts)) as executor:
        return [future.result(DEADLINE_S) for future in [executor.submit(perform, act) for act in acts]]


def claim_all(worker_id: str) -> Callable[[Store], list[Lease]]:
    def claim(store: Store) -> list[Lease]:
        leases: list[Lease] = []
        while found := store.claim_shards(worker_id, limit=3):
            leases += found
        return leases

    return claim


def test_nothing_is_leased_twice(store: Store, connect: Connect) -> None:
    names = [f"racer-{number}" for number in range(4)]
    for name in names:
        store.add_worker(name, pid=1, now=NOW)
    for number in range(3):
        start_a_batch(store, f"batch_{number}", shards=40)
    leases = [lease for part in at_once(connect, [claim_all(name) for name in names]) for lease in part]
    expected = [(f"batch_{number}", shard) for number in range(3) for shard in range(40)]
    assert sorted((lease.batch_id, lease.shard.number) for lease in leases) == expected
    assert {lease.epoch for lease in leases} == {1}


def test_reports_of_two_workers_all_count(store: Store, connect: Connect) -> None:
    # A transaction that reads first and locks later loses updates here: hence the lock at its beginning.
    start_a_batch(store, "batch_1", shards=40)
    names = ["racer-0", "racer-1"]
    leases = {}
    for name in names:
        store.add_worker(name, pid=1, now=NOW)
        leases[name] = store.claim_shards(name, limit=20)

    def report_each(name: str) -> Callable[[Store], None]:
        def report(store: Store) -> None:
            for lease in leases[name]:
                store.report(name, [a_report(lease, completed=10, done=True)])

        return report

    at_once(connect, [report_each(name) for name in names])
    batch = store.batch(MINE, "batch_1")
    assert batch is not None
    assert batch.counts == RequestCounts(total=400, completed=400)
    assert store.finalize_batches(now=NOW) == 1


def test_start_fail_and_cancel_of_one_batch_do_not_meet(store: Store, connect: Connect) -> None:
    for number in range(10):
        name = f"batch_{number}"
        store.add_batch(a_batch(name))
        moves: list[Callable[[Store], bool]] = [
            lambda each, name=name: each.start_batch(name, model="m", shards=shards_of(2), now=NOW),  # type: ignore[misc]
            lambda each, name=name: each.fail_batch(name, problems=[], now=NOW),  # type: ignore[misc]
        ]
        started, failed = at_once(connect, moves)
        assert started != failed
        assert len(store.shards(name)) == (2 if started else 0)


def test_batch_is_published_by_one_finisher(store: Store, connect: Connect) -> None:
    start_a_batch(store, "batch_1")
    store.cancel_batch(MINE, "batch_1", now=NOW)
    ending = an_ending("batch_1", status=BatchStatus.CANCELLED)
    assert sorted(at_once(connect, [lambda each: each.publish(ending, now=NOW)] * 4)) == [False, False, False, True]


def test_cancel_and_finalize_move_a_batch_once(store: Store, connect: Connect) -> None:
    for number in range(10):
        start_a_batch(store, f"batch_{number}", shards=0)
        moves: list[Callable[[Store], bool]] = [
            lambda each, name=f"batch_{number}": each.cancel_batch(MINE, name, now=NOW),  # type: ignore[misc]
            lambda each: each.finalize_batches(now=NOW) == 1,
        ]
        cancelled, finalized = at_once(connect, moves)
        assert cancelled != finalized
