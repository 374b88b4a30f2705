"""What the contract says of batches: their list, their moves and their counts."""

import msgspec
import pytest

from tests.server.stores.samples import (
    DAY,
    MINE,
    NOW,
    a_batch,
    a_file,
    a_report,
    an_ending,
    shards_of,
    start_a_batch,
    work_off,
)
from tidyllm.core.batch import BatchStatus, BatchUsage, Problem, RequestCounts
from tidyllm.server.records import BatchRecord
from tidyllm.server.states import MOVES
from tidyllm.server.store import Store

ENDED = [status for status in BatchStatus if status.ended]


def batch_of(store: Store, batch_id: str) -> BatchRecord:
    batch = store.batch(MINE, batch_id)
    assert batch is not None
    return batch


def ids(batches: list[BatchRecord] | None) -> list[str] | None:
    return None if batches is None else [batch.id for batch in batches]


def bring_to(store: Store, batch_id: str, status: BatchStatus) -> None:
    """Add a batch and move it to a state by the shortest way."""
    store.add_batch(a_batch(batch_id))
    match status:
        case BatchStatus.VALIDATING:
            pass
        case BatchStatus.FAILED:
            assert store.fail_batch(batch_id, problems=[], now=NOW + 1)
        case BatchStatus.CANCELLING | BatchStatus.CANCELLED:
            assert store.cancel_batch(MINE, batch_id, now=NOW + 1)
        case _:
            assert store.start_batch(batch_id, model="m", shards=[], now=NOW + 1)
    if status in {BatchStatus.FINALIZING, BatchStatus.COMPLETED, BatchStatus.EXPIRED}:
        assert store.finalize_batches(now=NOW + 2) == 1
    if status in {BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}:
        assert store.publish(an_ending(batch_id, status=status), now=NOW + 3)
    assert batch_of(store, batch_id).status is status


def test_new_batch_comes_back_as_it_was_added(store: Store) -> None:
    store.add_file(a_file("file-in"))
    full = store.add_batch(msgspec.structs.replace(a_batch("batch_1"), output_expires_after_s=3600))
    bare = store.add_batch(msgspec.structs.replace(a_batch("batch_2", input_file_id="file-no"), metadata=None))
    assert (full.input_blob, bare.input_blob) == ("blob-file-in", None)
    assert store.batch(MINE, "batch_1") == full
    assert store.batch(MINE, "batch_2") == bare


def test_a_file_that_is_deleted_or_expired_is_not_pinned(store: Store) -> None:
    store.add_file(a_file("file-gone"))
    store.add_file(a_file("file-old", expires_at=NOW))
    store.delete_file(MINE, "file-gone", now=NOW)
    for number, file_id in enumerate(("file-gone", "file-old")):
        assert store.add_batch(a_batch(f"batch_{number}", input_file_id=file_id)).input_blob is None


def test_batch_of_another_project_is_unknown(store: Store) -> None:
    store.add_batch(a_batch("batch_1"))
    assert store.batch("proj_other", "batch_1") is None
    assert store.list_batches("proj_other", limit=9, after=None) == []
    assert store.list_batches("proj_other", limit=9, after="batch_1") is None
    assert not store.cancel_batch("proj_other", "batch_1", now=NOW)


def test_batches_of_one_second_list_newest_first(store: Store) -> None:
    for number in range(5):
        store.add_batch(a_batch(f"batch_{number}"))
    assert ids(store.list_batches(MINE, limit=3, after=None)) == ["batch_4", "batch_3", "batch_2"]
    assert ids(store.list_batches(MINE, limit=3, after="batch_2")) == ["batch_1", "batch_0"]
    assert store.list_batches(MINE, limit=3, after="batch_0") == []
    assert store.list_batches(MINE, limit=0, after=None) == []


def test_page_after_an_unknown_batch_is_none(store: Store) -> None:
    assert store.list_batches(MINE, limit=3, after="batch_9") is None


def test_listed_batch_is_the_batch(store: Store) -> None:
    store.add_batch(a_batch("batch_0"))
    start_a_batch(store, "batch_1")
    (lease,) = store.claim_shards("w1", limit=1)
    store.report("w1", [a_report(lease, completed=4)])
    bring_to(store, "batch_2", BatchStatus.FAILED)
    assert store.list_batches(MINE, limit=9, after=None) == [batch_of(store, f"batch_{n}") for n in (2, 1, 0)]


def test_unread_batches_are_the_oldest_in_validating(store: Store) -> None:
    start_a_batch(store, "batch_0")
    for number in (1, 2, 3):
        store.add_batch(a_batch(f"batch_{number}"))
    assert ids(store.unread_batches(limit=2)) == ["batch_1", "batch_2"]


def test_started_batch_has_a_total_and_its_shards(store: Store) -> None:
    store.add_batch(a_batch("batch_1"))
    assert store.start_batch("batch_1", model="model-1", shards=shards_of(3), now=NOW + 1)
    batch = batch_of(store, "batch_1")
    assert (batch.status, batch.model, batch.in_progress_at) == (BatchStatus.IN_PROGRESS, "model-1", NOW + 1)
    assert batch.counts == RequestCounts(total=30)
    assert store.shards("batch_1") == shards_of(3)


def test_batch_starts_once(store: Store) -> None:
    start_a_batch(store, "batch_1")
    assert not store.start_batch("batch_1", model="model-2", shards=shards_of(9), now=NOW + 2)
    assert batch_of(store, "batch_1").model == "model-1"
    assert store.shards("batch_1") == shards_of(3)


def test_failed_batch_keeps_its_problems_and_counts_nothing(store: Store) -> None:
    problems = (
        Problem(code="invalid_json_line", message="This line is not parseable as valid JSON.", line=2),
        Problem(code="invalid_request", message="Grüße", param="file_id"),
    )
    store.add_batch(a_batch("batch_1"))
    assert store.fail_batch("batch_1", problems=problems, now=NOW + 1)
    batch = batch_of(store, "batch_1")
    assert (batch.status, batch.failed_at, batch.problems) == (BatchStatus.FAILED, NOW + 1, problems)
    assert batch.counts == RequestCounts()


def test_cancelled_batch_says_when(store: Store) -> None:
    start_a_batch(store, "batch_1")
    assert store.cancel_batch(MINE, "batch_1", now=NOW + 7)
    batch = batch_of(store, "batch_1")
    assert (batch.status, batch.cancelling_at, batch.cancelled_at) == (BatchStatus.CANCELLING, NOW + 7, None)
    assert store.publish(an_ending("batch_1", status=BatchStatus.CANCELLED), now=NOW + 9)
    batch = batch_of(store, "batch_1")
    assert (batch.status, batch.cancelling_at, batch.cancelled_at) == (BatchStatus.CANCELLED, NOW + 7, NOW + 9)


@pytest.mark.parametrize("status", BatchStatus)
def test_only_the_moves_of_the_table_are_made(store: Store, status: BatchStatus) -> None:
    bring_to(store, "batch_1", status)
    before = batch_of(store, "batch_1")
    tries = {
        BatchStatus.IN_PROGRESS: lambda: store.start_batch("batch_1", model="m", shards=[], now=NOW + 9),
        BatchStatus.FAILED: lambda: store.fail_batch("batch_1", problems=[], now=NOW + 9),
        BatchStatus.CANCELLING: lambda: store.cancel_batch(MINE, "batch_1", now=NOW + 9),
        BatchStatus.FINALIZING: lambda: store.finalize_batches(now=NOW + 9) == 1,
        BatchStatus.COMPLETED: lambda: store.publish(an_ending("batch_1"), now=NOW + 9),
        BatchStatus.EXPIRED: lambda: store.publish(an_ending("batch_1", status=BatchStatus.EXPIRED), now=NOW + 9),
        BatchStatus.CANCELLED: lambda: store.publish(an_ending("batch_1", status=BatchStatus.CANCELLED), now=NOW + 9),
    }
    for target in tries.keys() - MOVES[status]:
        assert not tries[target](), target
        assert batch_of(store, "batch_1") == before
    for number, target in enumerate(MOVES[status]):
        if number == 0:
            assert tries[target](), target
            assert batch_of(store, "batch_1").status is target


def test_window_that_closes_in_progress_ends_the_work(store: Store) -> None:
    start_a_batch(store, "batch_1")
    assert store.lapse_batches(now=NOW + DAY - 1) == 0
    assert store.lapse_batches(now=NOW + DAY) == 1
    batch = batch_of(store, "batch_1")
    assert (batch.status, batch.lapsed, batch.finalizing_at) == (BatchStatus.FINALIZING, True, NOW + DAY)
    assert store.lapse_batches(now=NOW + DAY) == 0
    assert store.publish(an_ending("batch_1", status=BatchStatus.EXPIRED), now=NOW + DAY + 1)
    assert batch_of(store, "batch_1").expired_at == NOW + DAY + 1


def test_window_that_closes_in_validating_fails_the_batch(store: Store) -> None:
    store.add_batch(a_batch("batch_1"))
    assert store.lapse_batches(now=NOW + DAY) == 1
    batch = batch_of(store, "batch_1")
    assert (batch.status, batch.lapsed, batch.failed_at) == (BatchStatus.FAILED, True, NOW + DAY)
    assert [problem.code for problem in batch.problems] == ["batch_expired"]


@pytest.mark.parametrize("status", [BatchStatus.FINALIZING, BatchStatus.CANCELLING, *ENDED])
def test_window_of_a_batch_that_is_over_closes_unseen(store: Store, status: BatchStatus) -> None:
    bring_to(store, "batch_1", status)
    assert store.lapse_batches(now=NOW + DAY) == 0
    assert not batch_of(store, "batch_1").lapsed


def test_batch_is_final_when_its_last_shard_is_done(store: Store) -> None:
    start_a_batch(store, "batch_1", shards=2)
    first, second = store.claim_shards("w1", limit=2)
    start_a_batch(store, "batch_2", shards=2)
    work_off(store, "w1", [first])
    assert store.finalize_batches(now=NOW + 5) == 0
    work_off(store, "w1", [second])
    assert store.finalize_batches(now=NOW + 6) == 1
    batch = batch_of(store, "batch_1")
    assert (batch.status, batch.finalizing_at, batch.lapsed) == (BatchStatus.FINALIZING, NOW + 6, False)
    assert batch_of(store, "batch_2").status is BatchStatus.IN_PROGRESS


def test_only_stopped_batches_are_finishable_and_the_oldest_come_first(store: Store) -> None:
    store.add_batch(a_batch("batch_0"))
    start_a_batch(store, "batch_1")
    bring_to(store, "batch_2", BatchStatus.CANCELLING)
    bring_to(store, "batch_3", BatchStatus.FINALIZING)
    bring_to(store, "batch_4", BatchStatus.CANCELLED)
    assert ids(store.finishable_batches(stopped_before=NOW, limit=9)) == ["batch_2", "batch_3"]
    assert ids(store.finishable_batches(stopped_before=NOW, limit=1)) == ["batch_2"]


def test_stopped_batch_waits_for_its_leased_shards(store: Store) -> None:
    start_a_batch(store, "batch_1", shards=2)
    (lease,) = store.claim_shards("w1", limit=1)
    store.cancel_batch(MINE, "batch_1", now=NOW + 5)
    assert store.finishable_batches(stopped_before=NOW, limit=9) == []
    store.report("w1", [a_report(lease, done=True)])
    assert ids(store.finishable_batches(stopped_before=NOW, limit=9)) == ["batch_1"]


def test_grace_of_a_cancelled_batch_ends(store: Store) -> None:
    start_a_batch(store, "batch_1")
    store.claim_shards("w1", limit=1)
    store.cancel_batch(MINE, "batch_1", now=NOW + 5)
    assert store.finishable_batches(stopped_before=NOW + 5, limit=9) == []
    assert ids(store.finishable_batches(stopped_before=NOW + 6, limit=9)) == ["batch_1"]


def test_grace_of_a_lapsed_batch_ends(store: Store) -> None:
    start_a_batch(store, "batch_1")
    store.claim_shards("w1", limit=1)
    store.lapse_batches(now=NOW + DAY)
    assert store.finishable_batches(stopped_before=NOW + DAY, limit=9) == []
    assert ids(store.finishable_batches(stopped_before=NOW + DAY + 1, limit=9)) == ["batch_1"]


def test_published_batch_is_frozen_with_its_files(store: Store) -> None:
    bring_to(store, "batch_1", BatchStatus.FINALIZING)
    output = a_file("file-out", purpose="batch_output", expires_at=NOW + DAY)
    ending = an_ending("batch_1", files=[output])
    assert store.publish(ending, now=NOW + 8)
    batch = batch_of(store, "batch_1")
    assert (batch.status, batch.completed_at) == (BatchStatus.COMPLETED, NOW + 8)
    assert (batch.output_file_id, batch.error_file_id) == ("file-out", None)
    assert (batch.counts, batch.usage) == (ending.counts, ending.usage)
    assert store.file(MINE, "file-out", now=NOW) == output


def test_publishing_twice_changes_nothing(store: Store) -> None:
    bring_to(store, "batch_1", BatchStatus.FINALIZING)
    assert store.publish(an_ending("batch_1", files=[a_file("file-out")]), now=NOW + 8)
    before = batch_of(store, "batch_1")
    assert not store.publish(an_ending("batch_1", files=[a_file("file-again")]), now=NOW + 9)
    assert batch_of(store, "batch_1") == before
    assert store.file(MINE, "file-again", now=NOW) is None


def test_publishing_is_all_or_nothing(store: Store) -> None:
    store.add_file(a_file("file-out"))
    bring_to(store, "batch_1", BatchStatus.FINALIZING)
    before = batch_of(store, "batch_1")
    with pytest.raises(Exception, match=r"(?i)unique"):
        store.publish(an_ending("batch_1", files=[a_file("file-new"), a_file("file-out")]), now=NOW + 8)
    assert batch_of(store, "batch_1") == before
    assert store.file(MINE, "file-new", now=NOW) is None


def test_counts_of_an_ended_batch_do_not_follow_late_reports(store: Store) -> None:
    start_a_batch(store, "batch_1")
    (lease,) = store.claim_shards("w1", limit=1)
    store.cancel_batch(MINE, "batch_1", now=NOW + 5)
    assert store.publish(an_ending("batch_1", status=BatchStatus.CANCELLED), now=NOW + 40)
    before = batch_of(store, "batch_1")
    store.report("w1", [a_report(lease, completed=10, done=True)])
    assert batch_of(store, "batch_1") == before
    assert store.stopping_batches("w1") == set()


def test_running_batch_shows_what_its_shards_add_up_to(store: Store) -> None:
    start_a_batch(store, "batch_1")
    first, second = store.claim_shards("w1", limit=2)
    store.report("w1", [a_report(first, completed=4, failed=1), a_report(second, completed=2)])
    store.report("w1", [a_report(first, completed=9, failed=1, done=True)])
    batch = batch_of(store, "batch_1")
    assert batch.counts == RequestCounts(total=30, completed=11, failed=1)
    assert batch.usage == BatchUsage(input_tokens=77, output_tokens=33)


def test_ended_batches_are_those_that_are_known_to_have_ended(store: Store) -> None:
    start_a_batch(store, "batch_1")
    bring_to(store, "batch_2", BatchStatus.FAILED)
    asked = ["batch_1", "batch_2", *(f"batch_x{number}" for number in range(1200))]
    assert store.ended_batches(asked) == {"batch_2"}
    assert store.ended_batches([]) == set()
