"""How long an API asks to wait, by the headers of its answer."""

import math
from collections.abc import Mapping


def retry_after_s(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Return how many seconds the API asks to wait; none where it does not say, or says nothing usable.

    `retry-after-ms` goes before `retry-after`, which may be seconds or an HTTP date (RFC 9110, 10.2.3). A date counts
    from the answer's own `date`, as clocks differ, else from `now`, in seconds since 1970 UTC.
    """
    millis = _positive(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    if (seconds := _positive(value)) is not None:
        return seconds
    moment, begin = _moment(value), _moment(headers.get("date", "")) or now
    return moment - begin if moment and begin and moment > begin else None


def _positive(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else 0.0
    except ValueError:
        return None
    return number if number > 0 and math.isfinite(number) else None


def _moment(value: str) -> float | None:
    """Return an HTTP date as seconds since 1970 UTC; none where it is not one."""
    # Imported here: it takes 20 ms, and dates are seldom met.
    from datetime import UTC  # noqa: PLC0415 - for that reason
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - for that reason

    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
