"""Tables that say what is known of providers: their limits.

This module loads polars, half a second: the others of `client` import it where a table is made, and not before.
"""

from collections.abc import Mapping

import polars as pl

from tidyllm.core.wire import Lane
from tidyllm.transport.gate import Seen

_UTC = pl.Datetime("us", "UTC")
_LIMITS: Mapping[str, pl.DataType] = {
    "provider": pl.String(),
    "model": pl.String(),
    "base_url": pl.String(),
    "told_at": _UTC,
    "requests_limit": pl.Int64(),
    "requests_remaining": pl.Int64(),
    "requests_reset_at": _UTC,
    "tokens_limit": pl.Int64(),
    "tokens_remaining": pl.Int64(),
    "tokens_reset_at": _UTC,
}
_MICROSECONDS = 1_000_000


def limits_frame(told: Mapping[Lane, Seen]) -> pl.DataFrame:
    """Return a table of limits; typed also where there is none."""
    rows = [
        (
            lane.provider,
            lane.model,
            lane.base_url,
            _microseconds(seen.at),
            seen.limit.requests_limit,
            seen.limit.requests_remaining,
            _reset(seen, seen.limit.requests_reset_s),
            seen.limit.tokens_limit,
            seen.limit.tokens_remaining,
            _reset(seen, seen.limit.tokens_reset_s),
        )
        for lane, seen in told.items()
    ]
    return pl.DataFrame(rows, schema=dict(_LIMITS), orient="row")


def _reset(seen: Seen, seconds: float | None) -> int | None:
    return None if seconds is None else _microseconds(seen.at + seconds)


def _microseconds(seconds: float) -> int:
    return round(seconds * _MICROSECONDS)
