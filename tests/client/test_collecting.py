"""The collector's threshold while runs last."""

import gc
from collections.abc import Iterator

import pytest

from tidyllm.client.collecting import THRESHOLD, seldom_collecting


@pytest.fixture(autouse=True)
def own() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_it_comes_seldom_until_the_last_run_has_ended() -> None:
    first, second = seldom_collecting(), seldom_collecting()
    with first:
        assert gc.get_threshold() == (THRESHOLD, 10, 10)
        second.__enter__()
    assert gc.get_threshold() == (THRESHOLD, 10, 10)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


def test_one_that_is_off_stays_off() -> None:
    gc.set_threshold(0)
    with seldom_collecting():
        assert gc.get_threshold()[0] == 0
    assert gc.get_threshold()[0] == 0
