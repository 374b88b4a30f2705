import subprocess
import sys
from pathlib import Path

import pytest

from tidyllm.core.errors import JournalError
from tidyllm.journal import Kind, Reader, scan
from tidyllm.journals.disk import DiskJournal, make_durable


def test_what_is_appended_is_there_at_once_for_another_reader(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path / "batch" / "worker.log")
    journal.append(shard=3, epoch=1, line=17, kind=Kind.ANSWERED, data=b"hello")
    with Reader() as reader:
        found = [(line, place.shard, reader.read(place)) for line, place in scan(journal.path)]
    assert found == [(17, 3, b"hello")]
    journal.sync()
    journal.close()


def test_a_journal_has_one_writer_in_its_life(tmp_path: Path) -> None:
    DiskJournal(tmp_path / "worker.log").close()
    with pytest.raises(JournalError, match="cannot be created"):
        DiskJournal(tmp_path / "worker.log")


def test_a_closed_journal_can_be_neither_written_nor_synced(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path / "worker.log")
    journal.close()
    with pytest.raises(JournalError, match="cannot be written"):
        journal.append(shard=0, epoch=1, line=1, kind=Kind.FAILED, data=b"x")
    with pytest.raises(JournalError, match="cannot be made durable"):
        journal.sync()


def test_a_full_disk_is_an_error_and_keeps_the_answers_before_it(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    code = f"""
import resource, signal
from pathlib import Path
from tidyllm.core.errors import JournalError
from tidyllm.journal import Kind
from tidyllm.journals.disk import DiskJournal, make_durable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = DiskJournal(Path({str(path)!r}))
journal.append(shard=0, epoch=1, line=1, kind=Kind.ANSWERED, data=b"a" * 600)
try:
    journal.append(shard=0, epoch=1, line=2, kind=Kind.ANSWERED, data=b"b" * 600)
except JournalError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "the disk is full" in done.stdout
    assert [line for line, _ in scan(path)] == [1]


def test_an_answer_outlives_the_process_that_was_killed_after_appending_it(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    code = f"""
import os, signal
from pathlib import Path
from tidyllm.journal import Kind
from tidyllm.journals.disk import DiskJournal, make_durable
DiskJournal(Path({str(path)!r})).append(shard=0, epoch=1, line=1, kind=Kind.ANSWERED, data=b"paid for")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    with Reader() as reader:
        assert [reader.read(place) for _, place in scan(path)] == [b"paid for"]


def test_a_journal_whose_writer_is_gone_can_be_made_durable(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path / "worker.log")
    journal.append(shard=0, epoch=1, line=1, kind=Kind.ANSWERED, data=b"x")
    journal.close()
    make_durable(journal.path)
    assert [line for line, _ in scan(journal.path)] == [1]
    with pytest.raises(JournalError, match="cannot be made durable"):
        make_durable(Path("/dev/null"))
