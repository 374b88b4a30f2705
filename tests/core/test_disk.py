import os
from pathlib import Path

import pytest

from tidyllm.core.disk import sync_data, sync_folder


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
