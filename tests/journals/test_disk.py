"""A journal on a real disk, and on one that fails when it is told to."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.faulty import FaultyDisk
from tidyllm.core.disk import LocalDisk
from tidyllm.core.errors import JournalError
from tidyllm.journal import MAGIC, Kind, Reader, encode, first_answers, scan
from tidyllm.journals.disk import DiskJournal


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def journal(tmp_path: Path, disk: FaultyDisk) -> Iterator[DiskJournal]:
    numbers = count(1)
    made = DiskJournal(lambda: tmp_path / "batch" / f"worker.{next(numbers)}.log", disk=disk)
    made.sync()
    yield made
    made.close()


def record(line: int, data: bytes = b"answer") -> bytes:
    return encode(shard=3, epoch=1, line=line, kind=Kind.ANSWERED, data=data)


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "batch").iterdir())


def lines(path: Path) -> list[int]:
    return [line for line, _ in scan(path)]


def test_what_was_flushed_is_there_for_another_reader(journal: DiskJournal, tmp_path: Path) -> None:
    journal.append(record(17, b"hello"))
    journal.note(encode(shard=3, epoch=1, line=18, kind=Kind.SENT))
    journal.flush()
    with Reader() as reader:
        found = [(line, place.kind, reader.read(place)) for line, place in scan(*files(tmp_path))]
    assert found == [(17, Kind.ANSWERED, b"hello"), (18, Kind.SENT, b"")]


def test_only_answers_are_kept_until_they_are_durable(journal: DiskJournal) -> None:
    journal.note(record(1))
    assert journal.unsynced_bytes == 0
    journal.append(record(2))
    assert journal.unsynced_bytes == len(record(2))
    journal.sync()
    assert journal.unsynced_bytes == 0


def test_a_journal_has_one_writer_in_its_life(tmp_path: Path) -> None:
    (tmp_path / "batch").mkdir()
    (tmp_path / "batch" / "worker.log").write_bytes(b"another's")
    second = DiskJournal(lambda: tmp_path / "batch" / "worker.log", disk=LocalDisk())
    with pytest.raises(JournalError, match="cannot be written"):
        second.sync()
    assert not second.writable


@pytest.mark.parametrize("room", [0, 10])
def test_on_a_full_disk_answers_wait_in_memory_and_go_into_the_next_file(
    journal: DiskJournal, disk: FaultyDisk, tmp_path: Path, room: int
) -> None:
    journal.append(record(1))
    journal.flush()
    disk.room = room
    journal.append(record(2))
    journal.flush()
    assert not journal.writable
    journal.append(record(3))
    for _ in range(2):
        with pytest.raises(JournalError, match="No space left"):
            journal.sync()
        assert len(files(tmp_path)) == 1
    disk.room = 10**9
    journal.sync()
    journal.append(record(4))
    journal.flush()
    old, new = files(tmp_path)
    assert (lines(old), lines(new)) == ([1], [1, 2, 3, 4])
    assert sorted(first_answers([old, new])) == [1, 2, 3, 4]


def test_a_failed_sync_is_never_tried_again_on_that_file(
    journal: DiskJournal, disk: FaultyDisk, tmp_path: Path
) -> None:
    # The kernel reports a failed write-back once, may drop the pages, and calls the next sync a success.
    journal.append(record(1))
    journal.sync()
    journal.append(record(2))
    disk.broken = True
    with pytest.raises(JournalError, match="cannot be written"):
        journal.sync()
    assert not journal.writable
    disk.broken = False
    journal.append(record(3))
    journal.sync()
    old, new = files(tmp_path)
    assert (lines(old), lines(new)) == ([1, 2], [2, 3])
    assert journal.unsynced_bytes == 0


def test_a_closed_journal_begins_no_new_file(journal: DiskJournal, tmp_path: Path) -> None:
    journal.close()
    journal.note(record(1))
    journal.sync()
    assert [path.read_bytes() for path in files(tmp_path)] == [MAGIC]


def test_an_answer_outlives_the_process_that_was_killed_after_it_was_flushed(tmp_path: Path) -> None:
    path = tmp_path / "batch" / "worker.log"
    code = f"""
import os, signal
from pathlib import Path
from tidyllm.core.disk import LocalDisk
from tidyllm.journal import Kind, encode
from tidyllm.journals.disk import DiskJournal
journal = DiskJournal(lambda: Path({str(path)!r}), disk=LocalDisk())
journal.sync()
journal.append(encode(shard=0, epoch=1, line=1, kind=Kind.ANSWERED, data=b"paid for"))
journal.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    with Reader() as reader:
        assert [reader.read(place) for _, place in scan(path)] == [b"paid for"]


def test_an_answer_that_fails_to_be_written_while_a_sync_begins_is_not_forgotten(
    journal: DiskJournal, disk: FaultyDisk, tmp_path: Path
) -> None:
    # The sync had seen a writable journal, waited for the writer, and then took its record for written.
    entered, may_fail = threading.Event(), threading.Event()
    write = disk.write

    def fail_slowly(fd: int, data: bytes) -> int:
        entered.set()
        assert may_fail.wait(30)
        disk.room = 0
        return write(fd, data)

    disk.write = fail_slowly  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as threads:
        journal.append(record(1))
        flushing = threads.submit(journal.flush)
        assert entered.wait(30)
        syncing = threads.submit(journal.sync)
        may_fail.set()
        flushing.result(30)
        with pytest.raises(JournalError):
            syncing.result(30)
    disk.write, disk.room = write, 10**12  # type: ignore[method-assign]
    journal.sync()
    assert sorted(first_answers(files(tmp_path))) == [1]


def test_a_disk_that_takes_bytes_and_no_sync_is_not_filled_with_copies(
    journal: DiskJournal, disk: FaultyDisk, tmp_path: Path
) -> None:
    journal.append(record(1))
    disk.broken = True
    with pytest.raises(JournalError):
        journal.sync()
    for _ in range(5):
        disk.broken, disk.syncs_left = False, 1
        with pytest.raises(JournalError):
            journal.sync()
    assert len(files(tmp_path)) == 2
    disk.broken, disk.syncs_left = False, None
    journal.sync()
    assert sorted(first_answers(files(tmp_path))) == [1]
    assert len(files(tmp_path)) == 2


def test_what_was_taken_between_two_files_is_written_once(
    journal: DiskJournal, disk: FaultyDisk, tmp_path: Path
) -> None:
    disk.broken = True
    with pytest.raises(JournalError):
        journal.sync()
    disk.broken = False
    journal.append(record(1))
    journal.note(record(2))
    journal.sync()
    journal.flush()
    *_, newest = files(tmp_path)
    assert lines(newest) == [1, 2]


def test_one_flush_is_one_write(journal: DiskJournal, disk: FaultyDisk) -> None:
    written: list[int] = []
    write = disk.write

    def count(fd: int, data: bytes) -> int:
        written.append(len(data))
        return write(fd, data)

    disk.write = count  # type: ignore[method-assign]
    for line in range(10):
        journal.append(record(line))
    journal.note(record(10))
    journal.flush()
    journal.flush()
    assert written == [11 * len(record(0))]


def test_a_note_that_was_not_written_is_told_of_and_forgotten(
    journal: DiskJournal, disk: FaultyDisk, tmp_path: Path
) -> None:
    disk.room = 0
    journal.note(record(1))
    journal.append(record(2))
    assert not journal.flush()
    disk.room = 10**12
    journal.sync()
    assert journal.flush()
    *_, newest = files(tmp_path)
    assert lines(newest) == [2]


def test_a_note_that_a_sync_has_written_is_not_told_of_as_lost(
    journal: DiskJournal, disk: FaultyDisk, tmp_path: Path
) -> None:
    # Were it sent later as if it had never been noted, it would be blamed for a death too many.
    disk.broken = True
    journal.note(record(1))
    with pytest.raises(JournalError):
        journal.sync()
    assert not journal.writable
    assert journal.flush()
    assert lines(*files(tmp_path)) == [1]
