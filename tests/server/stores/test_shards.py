"""What the contract says of workers and the shards they lease."""

import msgspec

from tests.server.stores.samples import (
    DAY,
    MINE,
    NOW,
    Connect,
    a_batch,
    a_report,
    an_ending,
    shards_of,
    start_a_batch,
    work_off,
)
from tidyllm.core.batch import BatchStatus, RequestCounts
from tidyllm.server.records import Lease
from tidyllm.server.store import Store


def places(leases: list[Lease]) -> list[tuple[str, int]]:
    return [(lease.batch_id, lease.shard.number) for lease in leases]


def counts(store: Store) -> RequestCounts:
    batch = store.batch(MINE, "batch_1")
    assert batch is not None
    return batch.counts


def test_lease_carries_what_a_worker_needs(store: Store) -> None:
    start_a_batch(store, "batch_1")
    (lease,) = store.claim_shards("w1", limit=1)
    assert lease == Lease(
        batch_id="batch_1",
        endpoint="/v1/chat/completions",
        input_blob="blob-file-in",
        epoch=1,
        shard=shards_of(3)[0],
        model="model-1",
        project_id=MINE,
        expires_at=NOW + DAY,
        in_order=False,
        remaining=30,
    )


def test_lease_says_how_much_of_its_batch_remains(store: Store) -> None:
    start_a_batch(store, "batch_1")
    start_a_batch(store, "batch_2", shards=2)
    first, other = store.claim_shards("w1", limit=2)
    store.report("w1", [a_report(first, completed=7, failed=3, done=True), a_report(other, completed=1, failed=4)])
    assert {lease.batch_id: lease.remaining for lease in store.claim_shards("w1", limit=9)} == {
        "batch_1": 20,
        "batch_2": 15,
    }


def test_each_batch_is_claimed_from_in_turn_the_oldest_first_in_input_order(store: Store) -> None:
    for number, shards in ((1, 4), (2, 1), (3, 3)):
        start_a_batch(store, f"batch_{number}", shards=shards)
    assert places(store.claim_shards("w1", limit=5)) == [
        *(("batch_1", 0), ("batch_2", 0), ("batch_3", 0)),
        *(("batch_1", 1), ("batch_3", 1)),
    ]
    assert places(store.claim_shards("w1", limit=9)) == [("batch_1", 2), ("batch_3", 2), ("batch_1", 3)]
    assert store.claim_shards("w1", limit=9) == []


def test_where_there_are_more_batches_than_shards_wanted_the_oldest_come_first(store: Store) -> None:
    for number in (1, 2, 3):
        start_a_batch(store, f"batch_{number}", shards=2)
    assert places(store.claim_shards("w1", limit=2)) == [("batch_1", 0), ("batch_2", 0)]
    assert places(store.claim_shards("w1", limit=2)) == [("batch_1", 1), ("batch_2", 1)]
    assert places(store.claim_shards("w1", limit=2)) == [("batch_3", 0), ("batch_3", 1)]


def test_batches_that_are_to_be_left_are_not_claimed_from(store: Store) -> None:
    for number in (1, 2, 3):
        start_a_batch(store, f"batch_{number}", shards=2)
    found = places(store.claim_shards("w1", limit=3, leaving={"batch_1", "batch_3"}))
    assert found == [("batch_2", 0), ("batch_2", 1)]


def test_of_a_crowded_model_no_other_batch_is_begun(store: Store) -> None:
    for number in (1, 2, 3):
        start_a_batch(store, f"batch_{number}", model="other" if number == 3 else "model-1")
    assert places(store.claim_shards("w1", limit=1)) == [("batch_1", 0)]
    assert places(store.claim_shards("w2", limit=9, leaving={"batch_1", "batch_3"}, crowded={"model-1"})) == []
    found = places(store.claim_shards("w1", limit=9, crowded={"model-1"}))
    assert found == [("batch_1", 1), ("batch_3", 0), ("batch_1", 2), ("batch_3", 1), ("batch_3", 2)]


def test_no_shards_wanted_are_none(store: Store) -> None:
    start_a_batch(store, "batch_1")
    assert store.claim_shards("w1", limit=0) == []


def test_only_batches_in_progress_are_claimed(store: Store) -> None:
    store.add_batch(a_batch("batch_1"))
    start_a_batch(store, "batch_2")
    store.cancel_batch(MINE, "batch_2", now=NOW)
    assert store.claim_shards("w1", limit=9) == []


def test_report_of_another_epoch_changes_nothing(store: Store) -> None:
    start_a_batch(store, "batch_1", shards=1)
    (old,) = store.claim_shards("w1", limit=1)
    store.release_shards("w1", [a_report(old, completed=3)])
    (new,) = store.claim_shards("w1", limit=1)
    assert (old.epoch, new.epoch) == (1, 2)
    store.report("w1", [a_report(old, completed=10, done=True)])
    store.release_shards("w1", [a_report(old, completed=10)])
    assert counts(store) == RequestCounts(total=10, completed=3)
    assert store.claim_shards("w1", limit=1) == []


def test_report_of_another_worker_changes_nothing(store: Store) -> None:
    store.add_worker("w2", pid=102, now=NOW)
    start_a_batch(store, "batch_1", shards=1)
    (lease,) = store.claim_shards("w1", limit=1)
    store.report("w2", [a_report(lease, completed=10, done=True)])
    store.release_shards("w2", [a_report(lease, completed=10)])
    assert counts(store) == RequestCounts(total=10)
    assert store.claim_shards("w2", limit=1) == []


def test_report_of_an_unknown_batch_changes_nothing(store: Store) -> None:
    start_a_batch(store, "batch_1", shards=1)
    (lease,) = store.claim_shards("w1", limit=1)
    report = msgspec.structs.replace(a_report(lease, completed=10), batch_id="batch_9")
    store.report("w1", [report])
    assert counts(store) == RequestCounts(total=10)


def test_no_reports_is_no_error(store: Store) -> None:
    store.report("w1", [])
    store.release_shards("w1", [])


def test_released_shard_is_claimed_again_with_a_higher_epoch(store: Store) -> None:
    start_a_batch(store, "batch_1", shards=2)
    first, second = store.claim_shards("w1", limit=2)
    store.release_shards("w1", [a_report(first, completed=3, failed=1), a_report(second, completed=10, done=True)])
    assert counts(store) == RequestCounts(total=20, completed=13, failed=1)
    (again,) = store.claim_shards("w1", limit=9)
    assert (again.shard.number, again.epoch) == (0, 2)


def test_dead_workers_shards_return_to_the_queue_with_their_counts(store: Store) -> None:
    start_a_batch(store, "batch_1", shards=3)
    first, second, _ = store.claim_shards("w1", limit=3)
    work_off(store, "w1", [first])
    store.report("w1", [a_report(second, completed=5)])
    store.add_worker("w2", pid=102, now=NOW)
    assert store.bury_worker("w1", now=NOW + 9) == 2
    assert counts(store) == RequestCounts(total=30, completed=15)
    again = store.claim_shards("w2", limit=9)
    assert [(lease.shard.number, lease.epoch) for lease in again] == [(1, 2), (2, 2)]


def test_worker_dies_once(store: Store) -> None:
    store.add_worker("w2", pid=102, now=NOW + 1)
    assert store.live_workers() == ["w1", "w2"]
    start_a_batch(store, "batch_1", shards=1)
    store.claim_shards("w1", limit=1)
    assert store.bury_worker("w1", now=NOW + 9) == 1
    assert store.bury_worker("w1", now=NOW + 9) == 0
    assert store.live_workers() == ["w2"]


def test_worker_that_was_declared_dead_gets_no_more_shards(store: Store) -> None:
    start_a_batch(store, "batch_1")
    store.bury_worker("w1", now=NOW)
    assert store.claim_shards("w1", limit=9) == []
    assert store.claim_shards("w-unknown", limit=9) == []


def test_shards_of_a_dead_worker_whose_batch_was_cancelled_stay_unclaimed(store: Store) -> None:
    start_a_batch(store, "batch_1", shards=1)
    store.claim_shards("w1", limit=1)
    store.cancel_batch(MINE, "batch_1", now=NOW)
    store.add_worker("w2", pid=102, now=NOW)
    assert store.bury_worker("w1", now=NOW) == 1
    assert store.claim_shards("w2", limit=9) == []
    assert [batch.id for batch in store.finishable_batches(stopped_before=NOW, limit=9)] == ["batch_1"]


def test_worker_learns_which_of_its_batches_stop(store: Store) -> None:
    start_a_batch(store, "batch_1", shards=1)
    start_a_batch(store, "batch_2", shards=1)
    store.claim_shards("w1", limit=2)
    assert store.stopping_batches("w1") == set()
    store.cancel_batch(MINE, "batch_1", now=NOW + 5)
    assert store.stopping_batches("w1") == {"batch_1"}
    assert store.publish(an_ending("batch_1", status=BatchStatus.CANCELLED), now=NOW + 40)
    assert store.stopping_batches("w1") == {"batch_1"}


def test_shards_of_an_unknown_batch_are_none(store: Store) -> None:
    assert store.shards("batch_9") == []


def test_version_changes_when_another_connection_commits(store: Store, connect: Connect) -> None:
    other = connect()
    before = store.version()
    assert store.version() == before
    other.add_batch(a_batch("batch_1"))
    after = store.version()
    assert after != before
    assert other.cancel_batch(MINE, "batch_9", now=NOW) is False
    assert store.version() == after


def test_what_one_connection_commits_the_other_sees(store: Store, connect: Connect) -> None:
    store.add_batch(a_batch("batch_1"))
    assert connect().batch(MINE, "batch_1") == a_batch("batch_1")
