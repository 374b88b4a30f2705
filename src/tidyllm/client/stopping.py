"""Telling whoever stops a verb, by Ctrl-C or by cancelling its task, how to go on."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def told_if_stopped(way_on: str) -> Iterator[None]:
    """Have whoever stops the block be told how to go on."""
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError) as stop:
        stop.add_note(way_on)
        raise
