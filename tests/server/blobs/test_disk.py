import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tidyllm.core.disk import LocalDisk
from tidyllm.server.blob import Blobs
from tidyllm.server.blobs.disk import DiskBlobs

WRITER = """
import sys
from pathlib import Path
from tidyllm.core.disk import LocalDisk
from tidyllm.server.blobs.disk import DiskBlobs
writer = DiskBlobs(Path(sys.argv[1]), disk=LocalDisk()).create()
writer.write(b"half of a file")
writer._drain()
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs", disk=LocalDisk())


def put(blobs: Blobs, key: str, data: bytes) -> None:
    writer = blobs.create()
    writer.write(data)
    writer.commit(key)
    writer.close()


def leftovers(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "blobs" / "incoming").iterdir())


def test_committed_bytes_are_read_back(blobs: DiskBlobs) -> None:
    writer = blobs.create()
    for piece in (b"one\n", b"", b"two\n" * 100_000):
        writer.write(piece)
    writer.commit("file-1")
    writer.close()
    with blobs.open("file-1") as file:
        assert file.read() == b"one\n" + b"two\n" * 100_000
    assert blobs.path("file-1").stat().st_size == 400_004


def test_nobody_sees_bytes_before_commit(blobs: DiskBlobs) -> None:
    writer = blobs.create()
    writer.write(b"x")
    with pytest.raises(FileNotFoundError):
        blobs.open("file-1")
    writer.commit("file-1")
    writer.close()
    assert blobs.path("file-1").read_bytes() == b"x"


def test_blobs_last_over_processes(blobs: DiskBlobs, tmp_path: Path) -> None:
    put(blobs, "file-1", b"x")
    assert DiskBlobs(tmp_path / "blobs", disk=LocalDisk()).path("file-1").read_bytes() == b"x"


def test_empty_blob_is_a_blob(blobs: DiskBlobs) -> None:
    put(blobs, "file-1", b"")
    assert blobs.path("file-1").read_bytes() == b""


def test_bytes_that_were_not_committed_are_gone(blobs: DiskBlobs, tmp_path: Path) -> None:
    writer = blobs.create()
    writer.write(b"x")
    writer.close()
    writer.close()
    assert leftovers(tmp_path) == []


def test_closing_after_commit_keeps_the_bytes(blobs: DiskBlobs) -> None:
    writer = blobs.create()
    writer.commit("file-1")
    writer.close()
    assert blobs.path("file-1").exists()


def test_what_somebody_else_put_there_is_no_blob(blobs: DiskBlobs, tmp_path: Path) -> None:
    kept = tmp_path / "blobs" / "kept"
    (kept / ".DS_Store").touch()
    (kept / "folder").mkdir()
    (kept / "link").symlink_to("/etc/hosts")
    put(blobs, "file-1", b"x")
    assert list(blobs.keys()) == ["file-1"]


def test_delete_is_done_once_or_twice(blobs: DiskBlobs) -> None:
    put(blobs, "file-1", b"x")
    blobs.delete("file-1")
    blobs.delete("file-1")
    with pytest.raises(FileNotFoundError):
        blobs.open("file-1")


@pytest.mark.parametrize("key", ["", "..", "../x", "a/b", "/etc/passwd", "a\\b", ".hidden", "a\n", "a\0", "x" * 201])
def test_what_cannot_be_a_key_is_refused(blobs: DiskBlobs, tmp_path: Path, key: str) -> None:
    for use in (blobs.path, blobs.open, blobs.delete):
        with pytest.raises(ValueError, match="not the key"):
            use(key)
    writer = blobs.create()
    with pytest.raises(ValueError, match="not the key"):
        writer.commit(key)
    writer.close()
    assert leftovers(tmp_path) == []


def test_no_key_meets_the_folder_of_incoming_bytes(blobs: DiskBlobs, tmp_path: Path) -> None:
    put(blobs, "incoming", b"x")
    put(blobs, "kept", b"y")
    assert blobs.path("incoming").read_bytes() == b"x"
    assert leftovers(tmp_path) == []


def test_folder_and_files_are_for_their_owner_alone(blobs: DiskBlobs, tmp_path: Path) -> None:
    put(blobs, "file-1", b"x")
    assert (tmp_path / "blobs").stat().st_mode & 0o777 == 0o700
    assert blobs.path("file-1").stat().st_mode & 0o777 == 0o600


def test_sweep_leaves_a_writer_of_this_process_alone(blobs: DiskBlobs) -> None:
    writer = blobs.create()
    writer.write(b"x")
    assert blobs.sweep() == 0
    writer.commit("file-1")
    writer.close()
    assert blobs.path("file-1").read_bytes() == b"x"


def test_sweep_removes_what_a_killed_writer_left_and_nothing_else(blobs: DiskBlobs, tmp_path: Path) -> None:
    put(blobs, "file-1", b"x")
    command = [sys.executable, "-c", WRITER, str(tmp_path / "blobs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writing:
        assert writing.stdout is not None
        assert writing.stdout.readline() == "written\n"
        assert len(leftovers(tmp_path)) == 1
        assert blobs.sweep() == 0
        writing.kill()
        writing.wait(60)
    assert blobs.sweep() == 1
    assert blobs.sweep() == 0
    assert leftovers(tmp_path) == []
    assert blobs.path("file-1").read_bytes() == b"x"


def test_sweep_at_any_moment_takes_nothing_from_a_writer(blobs: DiskBlobs, tmp_path: Path) -> None:
    # Between a file's creation and its lock there is a moment in which a sweep may remove it: its writer begins anew.
    stop = Event()

    def sweep_on() -> None:
        while not stop.is_set():
            blobs.sweep()

    with ThreadPoolExecutor(1) as executor:
        sweeping = executor.submit(sweep_on)
        for number in range(300):
            put(blobs, f"file-{number}", str(number).encode())
        stop.set()
        sweeping.result(60)
    assert all(blobs.path(f"file-{number}").read_bytes() == str(number).encode() for number in range(300))
    assert leftovers(tmp_path) == []


def test_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files stands for a full disk: both make write() fail.
    script = """
import resource, sys
from pathlib import Path
from tidyllm.core.disk import LocalDisk
from tidyllm.server.blobs.disk import DiskBlobs
blobs = DiskBlobs(Path(sys.argv[1]), disk=LocalDisk())
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
writer = blobs.create()
writer.write(b"x" * 1000)
try:
    writer.commit("file-1")
except OSError:
    writer.close()
else:
    sys.exit("no error")
finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
sys.exit("committed" if blobs.path("file-1").exists() else 0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path / "blobs")], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert leftovers(tmp_path) == []


def test_a_blob_is_abandoned_once_its_writer_is_done_or_dead(blobs: DiskBlobs) -> None:
    writer = blobs.create()
    writer.commit("file-1")
    assert list(blobs.keys()) == ["file-1"]
    with blobs.abandoned("file-1") as left:
        assert not left
    writer.close()
    with blobs.abandoned("file-1") as left:
        assert left
    with blobs.abandoned("file-2") as left:
        assert not left
