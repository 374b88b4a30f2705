"""Texts out of tables of any kind, and vectors beside them; and vectors out of tables again.

This module loads polars, half a second: the others of `client` import it where a table is made, and not before.
"""

from collections.abc import Sequence
from typing import cast

import msgspec
import narwhals as nw
import polars as pl
from narwhals.typing import IntoDataFrame, IntoSeries

from tidyllm.client.frame import as_kind, open_table, refuse_collision
from tidyllm.client.rows import TableKind
from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import SettingError
from tidyllm.core.wire import Call

INPUT = "input"
"""The column of the texts, where these came in no table."""
VECTORS = "embeddings"
NEW_COLUMNS = (VECTORS, "llm_status", "llm_error")
"""What a table of texts is given besides."""
_TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Null)


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """Texts or images, and the table that their vectors go into."""

    frame: nw.DataFrame[IntoDataFrame]
    texts: list[str | None]
    """One a row; empty where it is images."""
    by_row: bool
    """Whether they came in a table, so that what goes wrong with one is told in its row."""


class Fates(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of a table; null where a row has nothing that a vector could stand for."""

    status: list[str | None]
    error: list[str | None]


def read_texts(data: object, *, column: str | None) -> Inputs:
    """Return the texts of a column or of a table.

    Raises SettingError for what is neither, for a table of which it is unclear what holds its texts, and for columns
    that the vectors would collide with.
    """
    series = _as_column(data)
    if series is not None:
        if column is not None:
            raise SettingError("column= says which column of a table holds the texts, and this is one column alone.")
        frame = series.alias(INPUT).to_frame()
        return Inputs(frame=frame, texts=_texts(series), by_row=False)
    frame = open_table(data)
    refuse_collision(frame.columns, adds=NEW_COLUMNS)
    return Inputs(frame=frame, texts=_texts(frame.get_column(_named(frame, column))), by_row=True)


def read_cells(data: object, *, column: str) -> tuple[Inputs, list[object]]:
    """Return a table, and the cells of a column of images, as plain values.

    Raises SettingError as `read_texts` does.
    """
    if _as_column(data) is not None:
        raise SettingError("media= says which column of a table holds the images, and this is one column alone.")
    frame = open_table(data)
    refuse_collision(frame.columns, adds=NEW_COLUMNS)
    return Inputs(frame=frame, texts=[], by_row=True), _plain(frame.get_column(_named(frame, column))).to_list()


def in_column(call: Call[Embeddings]) -> Call[pl.Series]:
    """Return a call that gives the vectors of a request as a column, so that its answer is in memory no longer."""
    found = yield from call
    floats = pl.Series(memoryview(found.vectors).cast("f"), dtype=pl.Float32)
    return floats.reshape((found.count, found.length)).alias(VECTORS)


def length_of(vectors: pl.Series) -> int:
    """Return how many numbers each vector of a column has."""
    assert isinstance(vectors.dtype, pl.Array)  # noqa: S101 - no other column is made of vectors
    return vectors.dtype.size


def listed(texts: Sequence[str | None], vectors: pl.Series) -> pl.DataFrame:
    """Return a table of what was asked about, as texts, with the column of its vectors."""
    return pl.DataFrame([pl.Series(INPUT, texts, dtype=pl.String), vectors])


def vector_column(found: list[pl.Series], *, places: Sequence[int | None], empty: int) -> pl.Series:
    """Return columns of vectors as one: at each place the vector of that number, where null is none.

    They are all of one length, which is `empty` where there are none. `found` is emptied, so that the vectors are in
    memory twice while one block is made of them, and once afterwards.
    """
    length = length_of(found[0]) if found else empty
    column = pl.concat([pl.Series(VECTORS, [], dtype=pl.Array(pl.Float32, length)), *found], rechunk=False)
    found.clear()
    if len(places) != len(column) or any(place != number for number, place in enumerate(places)):
        column = column.gather(pl.Series(places, dtype=pl.UInt32))
    return column.rechunk(in_place=True)


def beside(inputs: Inputs, vectors: pl.Series, *, fates: Fates | None = None) -> IntoDataFrame:
    """Return the table that the inputs came in, as the kind it is, with their vectors and what became of each row."""
    told = [vectors]
    if fates is not None:
        told += [pl.Series("llm_status", fates.status, pl.String), pl.Series("llm_error", fates.error, pl.String)]
    kind = cast("TableKind", inputs.frame.implementation.value)
    added = nw.from_native(as_kind(pl.DataFrame(told), kind), eager_only=True)
    return inputs.frame.with_columns(*(added.get_column(name) for name in added.columns)).to_native()


def _as_column(data: object) -> nw.Series[IntoSeries] | None:
    """Return a column of whatever library; null for what is none."""
    arrow = nw.dependencies.get_pyarrow()
    if arrow is not None and isinstance(data, arrow.Array):
        data = arrow.chunked_array([data])
    try:
        return nw.from_native(cast("IntoSeries", data), series_only=True)
    except TypeError:
        return None


def _named(frame: nw.DataFrame[IntoDataFrame], column: str | None) -> str:
    """Return which column holds the texts: the one that is named, or the only one that can."""
    listed = ", ".join(frame.columns)
    if column is not None:
        if column not in frame.columns:
            raise SettingError(f"There is no column {column!r}. The columns are: {listed}.")
        return column
    found = [name for name, kind in frame.schema.items() if kind == nw.String]
    if len(found) != 1:
        many = f"{len(found)} columns of the table hold texts" if found else "No column of the table holds texts"
        raise SettingError(f"{many}: say which is meant, with column=. The columns are: {listed}.")
    return found[0]


def _plain(series: nw.Series[IntoSeries]) -> pl.Series:
    try:
        return series.to_polars()
    except (TypeError, ValueError) as fault:
        raise SettingError(f"A column mixes what does not go together: {fault}") from fault


def _texts(series: nw.Series[IntoSeries]) -> list[str | None]:
    column = _plain(series)
    if not isinstance(column.dtype, _TEXT):
        raise SettingError(f"The column {series.name!r} holds {column.dtype}, and no texts.")
    return column.cast(pl.String).to_list()


def vectors_in(data: object, *, called: str) -> pl.Series:
    """Return the column of vectors that data are, or that a table has, as 32-bit floats of one length.

    Raises SettingError for a table that has none, and for a column of something else.
    """
    if isinstance(data, str | list | tuple):
        raise SettingError(
            f"Vectors come in a table, a column or a numpy array, and {called} in a {type(data).__name__}."
        )
    series = _as_column(data)
    if series is None:
        frame = open_table(data)
        if VECTORS not in frame.columns:
            known = ", ".join(frame.columns)
            raise SettingError(
                f"In {called} there is no column {VECTORS!r}: give the column. The columns are: {known}."
            )
        series = frame.get_column(VECTORS)
    column = series.to_polars()
    if column.dtype.is_numeric():  # one vector, as table["embeddings"][0] gives it
        column = column.reshape((1, len(column)))
    if isinstance(column.dtype, pl.List):
        lengths = column.list.len().drop_nulls().unique().sort().to_list()
        if len(lengths) > 1:
            raise SettingError(f"The vectors of {called} are of several lengths: {', '.join(map(str, lengths))}.")
        column = column.list.to_array(lengths[0] if lengths else 0)
    if not isinstance(column.dtype, pl.Array) or not column.dtype.inner.is_numeric():
        raise SettingError(f"The column of {called} holds {column.dtype}, and no vectors.")
    return column.cast(pl.Array(pl.Float32, column.dtype.size))
