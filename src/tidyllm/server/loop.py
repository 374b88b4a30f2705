"""What a background duty of the clerk is: one doer per file of `loops/`, run again while it finds work.

The worker, with its dispatcher, is the one loop that is no such duty: it never ends, and has a process of its own.
"""

from typing import Protocol


class Loop(Protocol):
    """A duty that can be done in small, repeatable steps; a step that fails half-way is simply done again."""

    async def run_once(self) -> bool:
        """Do one piece of work; return whether there may be more."""
        ...
