"""The event loop that threads of our own run."""

import asyncio


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop: uvloop's, which takes a third off the time of a small call, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - it is not made for Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
