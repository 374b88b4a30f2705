"""Words for the log: sentences that end, and how a process came to its end."""

import signal


def as_sentence(told: object) -> str:
    """Return what an error says, with a full stop where it has none."""
    text = str(told).rstrip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def how_it_ended(returncode: int) -> str:
    """Return what a process's return code says, as part of a sentence."""
    if returncode >= 0:
        return f"with exit code {returncode}"
    return f"by {signal.Signals(-returncode).name}"
