import os
from pathlib import Path

from tidyllm.server.locks import free, hold


def test_a_lock_has_one_holder_and_names_it(tmp_path: Path) -> None:
    lock = tmp_path / "w.lock"
    held = hold(lock)
    assert held is not None
    assert lock.read_text() == str(os.getpid())
    assert hold(lock) is None
    with free(lock) as is_free:
        assert not is_free
    os.close(held)
    with free(lock) as is_free:
        assert is_free
        assert hold(lock) is None


def test_a_lock_that_is_not_there_is_free(tmp_path: Path) -> None:
    with free(tmp_path / "w.lock") as is_free:
        assert is_free
