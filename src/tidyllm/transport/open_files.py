"""How many files a process may have open: each connection is one, and systems allow 1024 or 256 unless asked."""

import contextlib
import sys

OPEN_FILES = 10_240
"""As many as a process may want: connections, and on the server a journal of each batch."""


def allow_open_files() -> int | None:
    """Let this process have as many files open as it may want, or as the system lets it; return how many that are.

    Null is no limit that is known.
    """
    if sys.platform == "win32":  # pragma: no cover - it counts no files.
        return None
    import resource  # noqa: PLC0415 - Windows has none

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # It goes on with fewer.
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft
