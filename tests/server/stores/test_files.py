"""What the contract says of files and of their bytes."""

from tests.server.stores.samples import DAY, MINE, NOW, a_batch, a_file, an_ending, start_a_batch, work_off
from tidyllm.core.batch import BatchStatus
from tidyllm.server.records import FileRecord
from tidyllm.server.store import Store


def ids(files: list[FileRecord] | None) -> list[str] | None:
    return None if files is None else [file.id for file in files]


def listed(store: Store, *, limit: int = 10, after: str | None = None, newest_first: bool = True) -> list[str] | None:
    return ids(store.list_files(MINE, now=NOW, limit=limit, after=after, purpose=None, newest_first=newest_first))


def test_file_comes_back_as_it_was_added(store: Store) -> None:
    plain, expiring = a_file("file-1"), a_file("file-2", purpose="user_data", expires_at=NOW + DAY)
    store.add_file(plain)
    store.add_file(expiring)
    assert store.file(MINE, "file-1", now=NOW) == plain
    assert store.file(MINE, "file-2", now=NOW) == expiring


def test_unknown_file_is_none(store: Store) -> None:
    assert store.file(MINE, "file-1", now=NOW) is None


def test_file_of_another_project_is_unknown(store: Store) -> None:
    store.add_file(a_file("file-1"))
    assert store.file("proj_other", "file-1", now=NOW) is None
    assert not store.delete_file("proj_other", "file-1", now=NOW)
    assert store.list_files("proj_other", now=NOW, limit=9, after=None, purpose=None, newest_first=True) == []
    assert store.list_files("proj_other", now=NOW, limit=9, after="file-1", purpose=None, newest_first=True) is None


def test_expired_file_is_unknown_from_that_second_on(store: Store) -> None:
    store.add_file(a_file("file-1", expires_at=NOW + 10))
    assert store.file(MINE, "file-1", now=NOW + 9) is not None
    assert store.file(MINE, "file-1", now=NOW + 10) is None
    assert not store.delete_file(MINE, "file-1", now=NOW + 10)


def test_deleted_file_is_unknown_whatever_the_clock_says(store: Store) -> None:
    store.add_file(a_file("file-1"))
    assert store.delete_file(MINE, "file-1", now=NOW + 5)
    assert store.file(MINE, "file-1", now=NOW) is None
    assert listed(store) == []
    assert not store.delete_file(MINE, "file-1", now=NOW + 6)


def test_files_of_one_second_list_in_the_order_they_came(store: Store) -> None:
    for number in range(5):
        store.add_file(a_file(f"file-{number}"))
    assert listed(store) == ["file-4", "file-3", "file-2", "file-1", "file-0"]
    assert listed(store, newest_first=False) == ["file-0", "file-1", "file-2", "file-3", "file-4"]


def test_pages_of_files_join_without_a_gap(store: Store) -> None:
    for number in range(5):
        store.add_file(a_file(f"file-{number}"))
    assert listed(store, limit=2, after="file-3") == ["file-2", "file-1"]
    assert listed(store, limit=2, after="file-1", newest_first=False) == ["file-2", "file-3"]
    assert listed(store, after="file-0") == []


def test_page_after_an_unknown_file_is_none(store: Store) -> None:
    assert listed(store, after="file-9") is None


def test_reader_who_deletes_as_it_lists_can_go_on(store: Store) -> None:
    # The SDKs page by the last id they saw, and `for file in files: delete(file)` is what people write.
    for number in range(4):
        store.add_file(a_file(f"file-{number}"))
    for file_id in listed(store, limit=2) or []:
        store.delete_file(MINE, file_id, now=NOW)
    assert listed(store, limit=2, after="file-2") == ["file-1", "file-0"]


def test_purpose_narrows_the_list(store: Store) -> None:
    store.add_file(a_file("file-1"))
    store.add_file(a_file("file-2", purpose="batch_output"))
    store.add_file(a_file("file-3"))
    page = store.list_files(MINE, now=NOW, limit=9, after=None, purpose="batch", newest_first=True)
    assert ids(page) == ["file-3", "file-1"]
    page = store.list_files(MINE, now=NOW, limit=9, after="file-3", purpose="batch", newest_first=True)
    assert ids(page) == ["file-1"]


def test_expired_files_are_not_listed(store: Store) -> None:
    store.add_file(a_file("file-1", expires_at=NOW))
    store.add_file(a_file("file-2", expires_at=NOW + 1))
    assert listed(store) == ["file-2"]


def test_bytes_go_when_their_file_is_deleted_or_expired(store: Store) -> None:
    store.add_file(a_file("file-deleted"))
    store.add_file(a_file("file-expired", expires_at=NOW + 10))
    store.add_file(a_file("file-kept"))
    assert store.purgeable_blobs(now=NOW, limit=9) == []
    store.delete_file(MINE, "file-deleted", now=NOW)
    assert store.purgeable_blobs(now=NOW + 10, limit=9) == ["blob-file-deleted", "blob-file-expired"]
    assert store.purgeable_blobs(now=NOW + 10, limit=1) == ["blob-file-deleted"]


def test_purged_bytes_are_not_named_again(store: Store) -> None:
    store.add_file(a_file("file-1", expires_at=NOW))
    store.add_file(a_file("file-2"))
    store.delete_file(MINE, "file-2", now=NOW)
    store.blobs_purged(["blob-file-1", "blob-file-2"], now=NOW + 1)
    assert store.purgeable_blobs(now=NOW + 1, limit=9) == []
    assert listed(store) == []


def test_unfinished_batch_pins_the_bytes_it_reads(store: Store) -> None:
    store.add_file(a_file("file-in"))
    store.add_batch(a_batch("batch_1"))
    store.add_batch(a_batch("batch_2"))
    store.delete_file(MINE, "file-in", now=NOW)
    assert store.fail_batch("batch_1", problems=[], now=NOW)
    assert store.purgeable_blobs(now=NOW, limit=9) == []
    assert store.fail_batch("batch_2", problems=[], now=NOW)
    assert store.purgeable_blobs(now=NOW, limit=9) == ["blob-file-in"]


def test_bytes_stay_pinned_until_the_batch_is_published(store: Store) -> None:
    store.add_file(a_file("file-in", expires_at=NOW + 1))
    start_a_batch(store, "batch_1", shards=1)
    work_off(store, "w1", store.claim_shards("w1", limit=1))
    assert store.finalize_batches(now=NOW + 5) == 1
    assert store.purgeable_blobs(now=NOW + 5, limit=9) == []
    assert store.publish(an_ending("batch_1", status=BatchStatus.COMPLETED), now=NOW + 6)
    assert store.purgeable_blobs(now=NOW + 6, limit=9) == ["blob-file-in"]


def test_bytes_are_unknown_without_a_file_and_after_they_were_to_go(store: Store) -> None:
    for number in range(3):
        store.add_file(a_file(f"file-{number}"))
    store.delete_file(MINE, "file-1", now=NOW)
    store.delete_file(MINE, "file-2", now=NOW)
    store.blobs_purged(["blob-file-2"], now=NOW)
    asked = [f"blob-file-{number}" for number in range(4)] + ["x"] * 1000
    assert store.unknown_blobs(asked) == {"blob-file-2", "blob-file-3", "x"}
