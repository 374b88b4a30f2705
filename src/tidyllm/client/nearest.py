"""The verbs for vectors that are there already: `to_numpy` and `nearest`. Neither asks a model anything."""

from typing import TYPE_CHECKING

from tidyllm.core.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from narwhals.typing import IntoDataFrame, IntoSeries
    from numpy.typing import NDArray


def to_numpy(data: "IntoDataFrame | IntoSeries | NDArray[np.floating]") -> "NDArray[np.float32]":
    """Return vectors as a numpy array of 32-bit floats, one vector a row.

        matrix = to_numpy(embed(table, openai(), column="text"))

    Takes a table with the column `embeddings`, or a column of vectors, of polars, pandas or Arrow; a single vector,
    which is one row; or an array. What `embed` made is not copied, so the array is read-only.

    Raises SettingError where a row has no vector or vectors are of several lengths, and where numpy is not installed.
    """
    numpy_or_advice()
    # Imported here, because it loads polars and numpy.
    from tidyllm.client.vector_array import matrix  # noqa: PLC0415

    return matrix(data, called="the data")


def nearest(
    queries: "IntoDataFrame | IntoSeries | NDArray[np.floating]",
    corpus: "IntoDataFrame | IntoSeries | NDArray[np.floating]",
    *,
    k: int = 10,
) -> "pl.DataFrame":
    """Find the vectors of the corpus that point most nearly where each query does: `k` rows a query, the nearest first.

        found = nearest(embed(["How do I read a file?"], openai()), texts, k=3)
        texts[found["corpus_row"]]

    Both are what `to_numpy` takes. The columns are `query_row` and `corpus_row`, row numbers
    from 0 as `with_row_index` has them; `rank`, from 1; and `similarity`, the cosine of the angle, from -1 to 1. Equals
    come in the order of the corpus. A row without a vector is never found, and as a query finds nothing.

    Every vector is compared: 100,000 of 1,024 numbers take a fifth of a second for a handful of queries. Beside the
    vectors and its result it takes 150 MB at most, however many queries there are; for a corpus of more than 4 million
    vectors, 24 bytes for each.

    Raises SettingError for vectors of several lengths, for one that is all zeros or has numbers that are not finite,
    and where numpy is not installed.
    """
    numpy_or_advice()
    # Imported here, because it loads polars and numpy.
    from tidyllm.client.vector_array import nearest_rows  # noqa: PLC0415

    if not isinstance(k, int) or k < 1:
        raise SettingError(f"k= says how many to find for each query: a whole number of at least 1, not {k!r}.")
    return nearest_rows(queries, corpus, k=k)


def numpy_or_advice() -> None:
    """Raise SettingError with what to install where numpy is missing."""
    try:
        import numpy  # noqa: F401, ICN001, PLC0415 - a library that only these verbs need
    except ModuleNotFoundError as error:
        raise SettingError("This needs numpy: pip install numpy.") from error
