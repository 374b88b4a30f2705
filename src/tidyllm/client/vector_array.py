"""Vectors as numpy arrays, and which of them point the same way.

This module loads polars and numpy: the others of `client` import it where vectors are compared, and not before.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidyllm.client.vector_frame import VECTORS, vectors_in
from tidyllm.core.errors import SettingError

Floats: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.intp]

SCORES_MAX = 4_000_000
"""Similarities that are in memory at a time, unless the corpus alone has more."""
NORM_MIN, NORM_MAX = 1e-18, 1e18
"""Beyond them the squares of its numbers are no longer 32-bit floats."""
NEARLY = 1e-5
"""What a similarity of 32-bit arithmetic may be wrong by: equal vectors come out as a little more or less near."""
_EXACT_ROWS = 1024
"""Vectors that are compared exactly at a time."""
_COLUMNS = {"query_row": pl.UInt32, "corpus_row": pl.UInt32, "rank": pl.UInt32, "similarity": pl.Float64}


class Vectors:
    """The rows of a table or an array that have a vector, and the length of each."""

    def __init__(self, data: object, *, called: str) -> None:
        if isinstance(data, np.ndarray):
            self.array = _as_array(data, called=called)
            self.rows: Rows = np.arange(len(self.array))
        else:
            column = vectors_in(data, called=called)
            self.rows = np.flatnonzero(column.is_not_null().to_numpy())
            self.array = _filled(column.drop_nulls())
        self.norms = np.sqrt(np.einsum("ij,ij->i", self.array, self.array))
        lost = ~((self.norms > NORM_MIN) & (self.norms < NORM_MAX))
        if lost.any():
            raise SettingError(
                f"Row {self.rows[lost.argmax()]} of {called}, counted from 0, points nowhere: it is all zeros, or has "
                "numbers that are NaN, infinite or out of all proportion. Leave it out."
            )


def matrix(data: object, *, called: str) -> Floats:
    """Return vectors as an array, not copied where that can be. Raises SettingError where a row has none."""
    if isinstance(data, np.ndarray):
        return _as_array(data, called=called)
    column = vectors_in(data, called=called)
    if missing := column.null_count():
        rows = ", ".join(map(str, column.is_null().arg_true().head(5)))
        more = ", …" if missing > 5 else ""  # noqa: PLR2004 - as many as are listed
        raise SettingError(
            f"{missing:,} rows of {called} have no vector: {rows}{more}, counted from 0. Leave them out, in polars "
            f'with table.drop_nulls("{VECTORS}").'
        )
    return _filled(column)


def nearest_rows(queries: object, corpus: object, *, k: int) -> pl.DataFrame:
    """Return which `k` vectors of the corpus are nearest to each query; see `nearest`."""
    asked = Vectors(queries, called="the queries")
    known = Vectors(corpus, called="the corpus")
    if not (len(asked.array) and len(known.array)):
        return pl.DataFrame(schema=_COLUMNS)
    if asked.array.shape[1] != known.array.shape[1]:
        raise SettingError(
            f"The queries have vectors of {asked.array.shape[1]} numbers, and the corpus of {known.array.shape[1]}: "
            "only vectors of the same model can be compared."
        )
    found = list(_found(asked, known, k=min(k, len(known.array))))
    counts = [len(rows) for rows, _ in found]
    columns = (
        np.repeat(asked.rows, counts),
        known.rows[np.concatenate([rows for rows, _ in found])],
        np.concatenate([np.arange(1, count + 1) for count in counts]),
        np.concatenate([similarity for _, similarity in found]),
    )
    return pl.DataFrame(
        [pl.Series(name, column).cast(kind) for (name, kind), column in zip(_COLUMNS.items(), columns, strict=True)]
    )


def _found(asked: Vectors, known: Vectors, *, k: int) -> Iterator[tuple[Rows, NDArray[np.float64]]]:
    """Yield for each query the places of the nearest vectors, and how near they are."""
    height = max(1, SCORES_MAX // len(known.array))
    for start in range(0, len(asked.array), height):
        queries = asked.array[start : start + height]
        scores = (queries / asked.norms[start : start + height, None]) @ known.array.T
        scores /= known.norms
        for query, near in zip(queries, scores, strict=True):
            yield _ranked(query, near, known=known, k=k)


def _ranked(query: Floats, near: Floats, *, known: Vectors, k: int) -> tuple[Rows, NDArray[np.float64]]:
    """Return the nearest and how near they are: those that could be among them are compared once more, exactly."""
    least = np.partition(near, len(near) - k)[len(near) - k]
    places = np.flatnonzero(near >= least - 2 * NEARLY)
    pieces = [places[at : at + _EXACT_ROWS] for at in range(0, len(places), _EXACT_ROWS)]
    exact = np.concatenate([_cosines(query, known.array[piece]) for piece in pieces])
    order = np.argsort(-exact, kind="stable")[:k]
    return places[order], exact[order]


def _cosines(query: Floats, many: Floats) -> NDArray[np.float64]:
    """Return similarities that are the same for equal vectors, wherever they stand."""
    one, each = query.astype(np.float64), many.astype(np.float64)
    lengths = np.sqrt((each * each).sum(axis=1) * (one @ one))
    cosines: NDArray[np.float64] = np.clip((each * one).sum(axis=1) / lengths, -1.0, 1.0)
    return cosines


def _as_array(data: NDArray[np.floating], *, called: str) -> Floats:
    try:
        array = np.ascontiguousarray(np.atleast_2d(data), dtype=np.float32)
    except (TypeError, ValueError) as fault:
        raise SettingError(f"The array of {called} holds {data.dtype}, and no vectors: {fault}") from fault
    if array.ndim != 2:  # noqa: PLR2004 - rows and numbers
        raise SettingError(f"The array of {called} has {array.ndim} dimensions: a vector each row is needed, two.")
    return array


def _filled(column: pl.Series) -> Floats:
    array: Floats = column.rechunk().to_numpy()
    return array
