"""Processes that were forked."""

import os

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.transport.fork import refuse_fork


def test_a_process_is_itself() -> None:
    refuse_fork(os.getpid())


def test_another_process_is_told_what_to_do() -> None:
    with pytest.raises(SettingError, match='"spawn"'):
        refuse_fork(os.getppid())
