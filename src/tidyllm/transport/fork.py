"""Processes that were forked: threads do not come along, and neither does the network."""

import os

from tidyllm.core.errors import SettingError


class _Here:
    """The id of this process, without asking the system at each request."""

    pid = os.getpid()

    @classmethod
    def look(cls) -> None:
        """Look again: this may be another process now."""
        cls.pid = os.getpid()


if hasattr(os, "register_at_fork"):  # Windows does not fork.
    os.register_at_fork(after_in_child=_Here.look)


def refuse_fork(pid: int) -> None:
    """Raise SettingError unless this is the process of that id, in which the network's threads were started."""
    if pid != _Here.pid:
        raise SettingError(
            "This process was forked from one that had already used the network, whose threads did not come along. "
            'Start worker processes with multiprocessing\'s "spawn", or make the first request after the fork.'
        )
