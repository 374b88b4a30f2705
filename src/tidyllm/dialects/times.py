"""Moments as APIs write them."""

from datetime import UTC, datetime


def unix_seconds(moment: object) -> int | None:
    """Return a moment, a text as RFC 3339 has it or a number, in seconds since 1970 UTC; none where it is neither.

    One without a time zone is meant in UTC.
    """
    if isinstance(moment, int | float):
        return int(moment)
    try:
        found = datetime.fromisoformat(moment) if isinstance(moment, str) else None
    except ValueError:
        return None
    if found is not None and found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return None if found is None else int(found.timestamp())
