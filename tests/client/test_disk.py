"""Files that survive a crash, and locks that do not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tidyllm.client.disk import exclusive, replacing, write_durably


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_durably(tmp_path / "f", [b"a", b"b"])
    write_durably(tmp_path / "f", [b"c"])
    assert (tmp_path / "f").read_bytes() == b"c"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_what_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    write_durably(tmp_path / "f", [b"old"])

    def spoil() -> None:
        with replacing(tmp_path / "f") as part:
            part.write_bytes(b"ne")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        spoil()
    assert (tmp_path / "f").read_bytes() == b"old"


def test_one_holds_the_lock_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path / "l") as first, exclusive(tmp_path / "l") as second:
        assert (first, second) == (True, False)
    with exclusive(tmp_path / "l") as third:
        assert third


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from tidyllm.client.disk import exclusive\n"
        "with exclusive(Path(sys.argv[1])) as mine: os._exit(7 if mine else 8)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "l")], check=False, timeout=60)
    assert done.returncode == 7
    with exclusive(tmp_path / "l") as mine:
        assert mine
