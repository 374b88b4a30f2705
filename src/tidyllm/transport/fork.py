"""Processes that were forked: threads do not come along, and neither does the network."""

import os

from tidyllm.core.errors import SettingError


def refuse_fork(pid: int) -> None:
    """Raise SettingError unless this is the process of that id, in which the network's threads were started."""
    if pid != os.getpid():
        raise SettingError(
            "This process was forked from one that had already used the network, whose threads did not come along. "
            'Start worker processes with multiprocessing\'s "spawn", or make the first request after the fork.'
        )
