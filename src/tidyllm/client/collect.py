"""The answers of a run as columns: packed while they come, so that a million of them fit into memory.

This module loads polars, half a second: the others of `client` import it where a table is made, and not before.
"""

import threading

import polars as pl

from tidyllm.client.columns import Columns
from tidyllm.core.reply import Answer, Outcome
from tidyllm.core.schema import Schema

_NUMBER = "\0number"
"""A name that no field of a schema has."""
_PACKED = 10_000
"""So many answers are packed together: as Python's own values they take ten times as much."""


class Collected:
    """Answers to the rows of one table, in whatever order they come."""

    def __init__(self, schema: Schema | None) -> None:
        self._lock = threading.Lock()
        self._columns = Columns(schema)
        self._schema = {_NUMBER: pl.Int64(), **self._columns.types}
        self._rows: list[tuple[object, ...]] = []
        self._packed: list[pl.DataFrame] = []

    def add(self, number: int, answer: Answer) -> None:
        """Take the answer of a row, numbered from 0; of two for one row the later counts."""
        with self._lock:
            self._rows.append((number, *self._columns.row(answer)))
            if len(self._rows) == _PACKED:
                self._pack()

    def columns(self, height: int, *, pending: str | None, prefix: str = "") -> pl.DataFrame:
        """Return the columns of so many rows, in their order; `pending` is said of those without an answer."""
        with self._lock:
            self._pack()
            found = pl.concat(self._packed).unique(_NUMBER, keep="last", maintain_order=True)
        rows = pl.DataFrame({_NUMBER: pl.arange(0, height, eager=True)}).join(found, on=_NUMBER, how="left")
        is_pending = pl.col("llm_status").is_null()
        told = rows.sort(_NUMBER).with_columns(
            pl.when(is_pending).then(pl.lit(pending, pl.String)).otherwise(pl.col("llm_error")).alias("llm_error"),
            pl.col("llm_status").fill_null(Outcome.PENDING.value),
        )
        return told.drop(_NUMBER).rename(lambda name: prefix + name)

    def _pack(self) -> None:
        self._packed.append(pl.DataFrame(self._rows, schema=self._schema, orient="row"))
        self._rows = []
