"""From the answers of a model that makes vectors to the user's table.

This module loads polars, half a second: the others of `client` import it where a table is made, and not before.
"""

import logging
from collections import Counter
from collections.abc import Sequence

import polars as pl
from narwhals.typing import IntoDataFrame

from tidyllm.client.embed_order import Input, Order, label
from tidyllm.client.vector_frame import Fates, beside, length_of, listed, vector_column
from tidyllm.core.errors import BadAnswerError, PartlyFailedError, SettingError, TidyllmError
from tidyllm.core.reply import Outcome

_LOG = logging.getLogger("tidyllm")


def table_as_one(order: Order, results: list[pl.Series | Exception]) -> IntoDataFrame:
    """Return the table of a list or column; empties `results`, so that no vector is in memory longer than it must.

    Raises what the first request met where none was answered; else PartlyFailedError where one was not.
    """
    answered = [result for result in results if isinstance(result, pl.Series)]
    failures = [result for result in results if isinstance(result, Exception)]
    if failures and not answered:
        raise failures[0]
    lengths = sorted({length_of(result) for result in answered})
    if failures or len(lengths) > 1:
        fault = (
            f"{len(failures)} of {len(results)} requests for vectors were not answered, the first so: {failures[0]}"
            if failures
            else f"{order.model.provider.name} answered with vectors of several lengths: {lengths}."
        )
        raise PartlyFailedError(
            f"{fault} The exception's `results` has a table for each request that was answered.",
            results=tuple(tables_apart(order, results)),
        ) from (failures[0] if failures else None)
    results.clear()
    vectors = vector_column(answered, places=_places(order, [None] * len(order.parts)), empty=_empty(order))
    if order.source is None:
        return listed([label(one) for one in order.inputs], vectors)
    return beside(order.source, vectors)


def table_by_row(order: Order, results: list[pl.Series | Exception]) -> IntoDataFrame:
    """Return the user's table with the vectors and with what became of each row; empties `results` likewise.

    Raises a failure that is none of a request but of what was asked, or of ours.
    """
    assert order.source is not None  # noqa: S101 - it is a table
    faults = _faults(results, provider=order.model.provider.name)
    pairs = zip(results, faults, strict=True)
    answered = [result for result, fault in pairs if isinstance(result, pl.Series) and fault is None]
    results.clear()
    fault_of = {one: fault for part, fault in zip(order.parts, faults, strict=True) for one in part}
    of_rows = [fault_of[one] if one else None for one in order.inputs]
    places = _places(order, faults)
    fates = Fates(
        status=[_status(fault) if given else None for given, fault in zip(order.inputs, of_rows, strict=True)],
        error=[None if fault is None else str(fault) for fault in of_rows],
    )
    vectors = vector_column(answered, places=places, empty=_empty(order))
    table = beside(order.source, vectors, fates=fates)
    failed = [fault for fault in of_rows if fault is not None]
    told = _told(len(places), empty=fates.status.count(None), failed=failed)
    if told:
        _LOG.warning("%s", told)
    if failed and order.raises:
        raise PartlyFailedError(f"{told} The exception's `results` has the table.", results=(table,)) from failed[0]
    return table


def tables_apart(order: Order, results: Sequence[pl.Series | Exception | None]) -> list[object]:
    """Return a table for each request that was answered; what else became of it stays as it is."""
    return [
        listed([label(one) for one in part], result) if isinstance(result, pl.Series) else result
        for part, result in zip(order.parts, results, strict=False)
    ]


def _faults(results: Sequence[pl.Series | Exception], *, provider: str) -> list[Exception | None]:
    """Return what went wrong with each request: also that its vectors have not the length that most have."""
    counts: Counter[int] = Counter()
    for result in results:
        if isinstance(result, pl.Series):
            counts[length_of(result)] += len(result)
        elif isinstance(result, SettingError) or not isinstance(result, TidyllmError):
            raise result
    usual = counts.most_common(1)[0][0] if counts else 0
    return [_fault(result, usual=usual, provider=provider) for result in results]


def _fault(result: pl.Series | Exception, *, usual: int, provider: str) -> Exception | None:
    if isinstance(result, Exception):
        return result
    if length_of(result) == usual:
        return None
    said = f"{provider} answered with vectors of {length_of(result)} numbers, and with {usual} for other texts."
    return BadAnswerError(said, body=b"")


def _status(fault: Exception | None) -> str:
    if fault is None:
        return Outcome.OK.value
    return Outcome.INVALID.value if isinstance(fault, BadAnswerError) else Outcome.FAILED.value


def _places(order: Order, faults: Sequence[Exception | None]) -> list[int | None]:
    """Return where the vector of each row stands among those of all answers, if it has one."""
    place_of: dict[Input, int] = {}
    for part, fault in zip(order.parts, faults, strict=True):
        if fault is None:
            place_of.update(zip(part, range(len(place_of), len(place_of) + len(part)), strict=True))
    return [place_of.get(one) if one else None for one in order.inputs]


def _empty(order: Order) -> int:
    return order.model.params.dimensions or 0


def _told(rows: int, *, empty: int, failed: Sequence[Exception]) -> str:
    """Return in a sentence how many rows have no vector, and why; empty where all have."""
    parts = [f"{empty:,} have nothing that a vector could stand for"] if empty else []
    if failed:
        parts.append(f"{len(failed):,} got no vector, the first because: {failed[0]}")
    return f"Of {rows:,} rows {' and '.join(parts)}{'' if failed else '.'}" if parts else ""
