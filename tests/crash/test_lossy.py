"""The disk of the crash tests: what it forgets when the power is cut, and what it never forgets."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.lossy import LossyDisk, cut_power
from tests.crash.whole import forkserver
from tidyllm.journal import MAGIC, Kind, encode, scan

SEEDS = range(20)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder whose parts are durable."""
    for folder in ("journals", "blobs"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    return tmp_path / "data"


@pytest.fixture
def shadow(tmp_path: Path) -> Path:
    return tmp_path / "shadow"


@pytest.fixture
def disk(data: Path, shadow: Path) -> LossyDisk:
    return LossyDisk(data, shadow)


@pytest.fixture
def cut(data: Path, shadow: Path) -> Callable[[], None]:
    return lambda: cut_power(data, shadow, random.Random(0), harsh=True)


def write(disk: LossyDisk, path: Path, *, durable: bytes = b"", rest: bytes = b"") -> None:
    """Make a file; its name is not durable yet."""
    fd = disk.create(path)
    if durable:
        disk.write(fd, durable)
        disk.sync(fd)
    if rest:
        disk.write(fd, rest)
    os.close(fd)


def test_bytes_that_were_not_synced_are_gone(data: Path, disk: LossyDisk, cut: Callable[[], None]) -> None:
    path = data / "journals" / "a"
    write(disk, path, durable=b"kept", rest=b"lost")
    disk.sync_folder(path.parent)
    cut()
    assert path.read_bytes() == b"kept"


def test_a_name_that_was_not_synced_is_gone(data: Path, disk: LossyDisk, cut: Callable[[], None]) -> None:
    write(disk, data / "journals" / "a", durable=b"kept")
    cut()
    assert list((data / "journals").iterdir()) == []


def test_a_folder_whose_name_was_not_synced_is_gone_with_all_in_it(
    data: Path, disk: LossyDisk, cut: Callable[[], None]
) -> None:
    folder = data / "journals" / "batch"
    disk.make_folder(folder)
    write(disk, folder / "a", durable=b"kept")
    disk.sync_folder(folder)
    cut()
    assert list((data / "journals").iterdir()) == []


def test_what_is_synced_all_the_way_up_stays(data: Path, disk: LossyDisk, cut: Callable[[], None]) -> None:
    folder = data / "journals" / "batch"
    disk.make_folder(folder)
    write(disk, folder / "a", durable=b"kept")
    disk.sync_folder(folder)
    disk.sync_folder(folder.parent)
    disk.sync_folder(data)
    cut()
    assert (folder / "a").read_bytes() == b"kept"


def test_what_was_there_before_the_disk_is_durable(data: Path, shadow: Path, cut: Callable[[], None]) -> None:
    (data / "journals" / "a").write_bytes(b"old")
    LossyDisk(data, shadow)
    cut()
    assert (data / "journals" / "a").read_bytes() == b"old"


def test_a_removal_without_a_folder_sync_comes_back(data: Path, disk: LossyDisk, cut: Callable[[], None]) -> None:
    path = data / "journals" / "a"
    write(disk, path, durable=b"kept")
    disk.sync_folder(path.parent)
    disk.remove(path)
    cut()
    assert path.read_bytes() == b"kept"
    disk.remove(path)
    disk.sync_folder(path.parent)
    cut()
    assert not path.exists()


def test_a_folder_that_was_removed_without_a_sync_comes_back_as_it_was(
    data: Path, disk: LossyDisk, cut: Callable[[], None]
) -> None:
    folder = data / "journals" / "batch"
    disk.make_folder(folder)
    write(disk, folder / "a", durable=b"kept")
    disk.sync_folder(folder)
    disk.sync_folder(folder.parent)
    disk.remove(folder / "a")
    disk.remove_folder(folder)
    cut()
    assert (folder / "a").read_bytes() == b"kept"


def test_a_folder_made_anew_has_nothing_of_the_one_before(data: Path, disk: LossyDisk, cut: Callable[[], None]) -> None:
    folder = data / "journals" / "batch"
    for _ in range(2):
        disk.make_folder(folder)
        write(disk, folder / "a", durable=b"kept")
        disk.sync_folder(folder)
        disk.sync_folder(folder.parent)
        disk.remove(folder / "a")
        disk.remove_folder(folder)
        disk.sync_folder(folder.parent)
    disk.make_folder(folder)
    disk.sync_folder(folder.parent)
    cut()
    assert list(folder.iterdir()) == []


def test_a_rename_is_durable_once_its_folder_is_synced(data: Path, disk: LossyDisk, cut: Callable[[], None]) -> None:
    source, target = data / "blobs" / "incoming", data / "blobs" / "kept"
    write(disk, source, durable=b"kept")
    disk.sync_folder(source.parent)
    disk.rename(source, target)
    cut()
    assert [path.name for path in (data / "blobs").iterdir()] == ["incoming"]
    disk.rename(source, target)
    disk.sync_folder(target.parent)
    cut()
    assert [path.name for path in (data / "blobs").iterdir()] == ["kept"]
    assert target.read_bytes() == b"kept"


def test_after_a_cut_the_files_are_their_writers_own_again(
    data: Path, disk: LossyDisk, cut: Callable[[], None]
) -> None:
    for number in range(3):
        path = data / "journals" / f"{number}"
        write(disk, path, durable=b"kept", rest=b"lost")
        disk.sync_folder(path.parent)
        cut()
    assert [path.read_bytes() for path in sorted((data / "journals").iterdir())] == [b"kept"] * 3


def test_a_cut_by_chance_leaves_garbage_only_behind_what_was_durable(tmp_path: Path) -> None:
    ends = set()
    for seed in SEEDS:
        data, shadow = tmp_path / f"{seed}" / "data", tmp_path / f"{seed}" / "shadow"
        (data / "journals").mkdir(parents=True)
        disk = LossyDisk(data, shadow)
        path = data / "journals" / "a"
        write(disk, path, durable=b"kept", rest=b"lost")
        disk.sync_folder(path.parent)
        write(disk, data / "journals" / "b")
        cut_power(data, shadow, random.Random(seed), harsh=False)
        assert path.read_bytes().startswith(b"kept")
        assert path.stat().st_size <= len(b"keptlost")
        ends.add((path.read_bytes()[len(b"kept") :], (data / "journals" / "b").exists()))
    assert {b"lost".startswith(tail) for tail, _ in ends} == {True, False}
    assert {there for _, there in ends} == {True, False}


def test_two_disks_share_one_memory(data: Path, shadow: Path, disk: LossyDisk, cut: Callable[[], None]) -> None:
    path = data / "journals" / "a"
    write(disk, path, rest=b"kept")
    other = LossyDisk(data, shadow)
    with path.open("rb") as file:
        other.sync(file.fileno())
    other.sync_folder(path.parent)
    cut()
    assert path.read_bytes() == b"kept"


def test_what_another_process_synced_stays(data: Path, disk: LossyDisk, cut: Callable[[], None]) -> None:
    path = data / "journals" / "a"
    write(disk, path, durable=b"kept", rest=b"lost")
    process = forkserver().Process(target=disk.sync_folder, args=(path.parent,))
    process.start()
    process.join()
    assert process.exitcode == 0
    cut()
    assert path.read_bytes() == b"kept"


def test_a_disk_whose_first_look_was_broken_off_looks_again(data: Path, shadow: Path, cut: Callable[[], None]) -> None:
    (data / "journals" / "a").write_bytes(b"old")
    (shadow / "files").mkdir(parents=True)
    (shadow / "folders").mkdir()
    LossyDisk(data, shadow)
    cut()
    assert (data / "journals" / "a").read_bytes() == b"old"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_torn_tail_of_a_journal_is_where_reading_stops(
    data: Path, shadow: Path, disk: LossyDisk, seed: int
) -> None:
    path = data / "journals" / "a"
    records = [encode(shard=0, epoch=1, line=n, kind=Kind.ANSWERED, data=b"answer") for n in range(1, 9)]
    write(disk, path, durable=MAGIC + b"".join(records[:4]), rest=b"".join(records[4:]))
    disk.sync_folder(path.parent)
    cut_power(data, shadow, random.Random(seed), harsh=False)
    lines = [line for line, _ in scan(path)]
    assert 4 <= len(lines) <= 8
    assert lines == list(range(1, len(lines) + 1))
