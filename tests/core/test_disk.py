import errno
import os
from pathlib import Path

import pytest

from tidyllm.core.disk import LocalDisk, is_full, sync_data, sync_folder


def test_files_and_folders_are_synced(tmp_path: Path) -> None:
    with (tmp_path / "one").open("wb") as file:
        file.write(b"x")
        file.flush()
        sync_data(file.fileno())
    sync_folder(tmp_path)


def test_what_cannot_be_synced_is_an_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with pytest.raises(OSError, match="Invalid argument"):
        sync_data(writing)
    os.close(reading)
    os.close(writing)
    with pytest.raises(NotADirectoryError):
        sync_folder(Path(__file__))
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "nothing")


def test_a_file_is_created_once_and_appended_to(tmp_path: Path) -> None:
    disk = LocalDisk()
    fd = disk.create(tmp_path / "one")
    assert [disk.write(fd, data) for data in (b"ab", b"c")] == [2, 1]
    disk.sync(fd)
    os.close(fd)
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "one")
    disk.rename(tmp_path / "one", tmp_path / "two")
    disk.sync_folder(tmp_path)
    assert (tmp_path / "two").read_bytes() == b"abc"
    assert (tmp_path / "two").stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        disk.remove(tmp_path / "two")
    assert list(tmp_path.iterdir()) == []


def test_a_sync_is_the_system_s_own() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="Invalid argument"):  # What the system says of a pipe, which has no disk.
            LocalDisk().sync(writing)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_folder_is_removed_only_when_it_is_empty(tmp_path: Path) -> None:
    disk, folder = LocalDisk(), tmp_path / "folder"
    for _ in range(2):
        disk.make_folder(folder)
    (folder / "file").touch()
    disk.remove_folder(folder)
    assert folder.exists()
    (folder / "file").unlink()
    disk.remove_folder(folder)
    assert not folder.exists()
    with pytest.raises(FileNotFoundError):
        disk.remove_folder(folder)


def test_a_disk_says_how_much_it_still_takes(tmp_path: Path) -> None:
    assert LocalDisk().free_bytes(tmp_path) > 0
    assert LocalDisk().free_bytes(Path("/proc")) == 0


@pytest.mark.parametrize(
    ("number", "cured"), [(errno.ENOSPC, True), (errno.EROFS, True), (errno.EIO, False), (errno.ENOENT, False)]
)
def test_space_cures_some_errors(number: int, *, cured: bool) -> None:
    assert is_full(OSError(number, "")) is cured
