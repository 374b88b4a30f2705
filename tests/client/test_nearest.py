"""Vectors as numpy arrays, and which of them are near."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tidyllm import nearest, to_numpy
from tidyllm.client.frame import as_kind
from tidyllm.client.vector_array import SCORES_MAX
from tidyllm.core.errors import SettingError

VECTORS = [[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-1.0, 0.0]]
COLUMN = pl.Series("embeddings", VECTORS, dtype=pl.Array(pl.Float32, 2))
TABLE = pl.DataFrame([COLUMN])
HOLED = pl.Series("embeddings", [None, *VECTORS, None], dtype=pl.Array(pl.Float32, 2))
ZERO = np.array([[1.0, 0.0], [0.0, 0.0]])


def drawn(rows: int, numbers: int, *, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, numbers), dtype=np.float32)


@pytest.mark.parametrize(
    "data",
    [
        TABLE,
        COLUMN,
        as_kind(TABLE, "pandas"),
        as_kind(TABLE, "pyarrow"),
        as_kind(TABLE, "pyarrow").column("embeddings"),  # type: ignore[attr-defined]
        COLUMN.to_arrow(),
        as_kind(TABLE, "pandas")["embeddings"],  # type: ignore[index]
        pd.DataFrame({"embeddings": [np.array(vector) for vector in VECTORS]}),
        pd.Series([np.array(vector, dtype=np.float32) for vector in VECTORS]),
        pl.Series(VECTORS),
        pl.concat([COLUMN[:1], COLUMN[1:]], rechunk=False),
        np.array(VECTORS),
        np.array(VECTORS, dtype=np.int8),
        np.asfortranarray(VECTORS),
    ],
    ids=lambda data: type(data).__module__ + "." + type(data).__name__,
)
def test_vectors_of_every_kind_are_an_array(data: pl.DataFrame) -> None:
    array = to_numpy(data)
    assert array.dtype == np.float32
    assert array.tolist() == VECTORS
    assert nearest(data, data, k=1)["corpus_row"].to_list() == [0, 1, 2, 3]


def test_what_embed_made_is_not_copied() -> None:
    assert np.shares_memory(to_numpy(TABLE), to_numpy(COLUMN))
    assert np.shares_memory(to_numpy(to_numpy(TABLE)), to_numpy(as_kind(TABLE, "pyarrow")))


@pytest.mark.parametrize("one", [COLUMN[2], np.array([3.0, 3.0]), pl.Series([3, 3])])
def test_a_single_vector_is_one_row(one: pl.Series) -> None:
    assert to_numpy(one).tolist() == [[3.0, 3.0]]
    assert nearest(one, TABLE, k=1)["corpus_row"].to_list() == [2]


def test_the_nearest_come_first_and_equals_in_the_order_of_the_corpus() -> None:
    found = nearest(pl.Series([[1.0, 0.1], [0.0, -1.0]]), np.array([*VECTORS, [9.0, 0.0]]), k=3)
    assert dict(found.schema) == {
        "query_row": pl.UInt32,
        "corpus_row": pl.UInt32,
        "rank": pl.UInt32,
        "similarity": pl.Float64,
    }
    assert found.select("query_row", "corpus_row", "rank").rows() == [
        (0, 0, 1),
        (0, 4, 2),
        (0, 2, 3),
        (1, 0, 1),
        (1, 3, 2),
        (1, 4, 3),
    ]
    assert found["similarity"].to_list() == pytest.approx([0.99504, 0.99504, 0.77395, 0.0, 0.0, 0.0], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(numbers=st.integers(1, 80), rows=st.integers(1, 400), k=st.integers(1, 500), seed=st.integers(0, 9))
def test_they_are_what_a_plain_and_exact_comparison_finds(numbers: int, rows: int, k: int, seed: int) -> None:
    kinds = drawn(max(1, rows // 3), numbers, seed=seed) * np.float32(10.0 ** (seed - 4))
    corpus = kinds[np.random.default_rng(seed).integers(0, len(kinds), rows)]
    queries = drawn(3, numbers, seed=seed + 1)
    exact = _units(queries) @ _units(corpus).T
    order = np.argsort(-exact.round(9), axis=1, kind="stable")[:, :k]
    found = nearest(queries, corpus, k=k)
    assert found["corpus_row"].to_list() == order.ravel().tolist()
    assert found["similarity"].to_list() == pytest.approx(np.take_along_axis(exact, order, axis=1).ravel().tolist())
    assert found["similarity"].is_between(-1, 1).all()


def _units(array: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = array.astype(np.float64)
    units: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return units


def test_equal_vectors_are_equally_near_wherever_they_stand() -> None:
    corpus = np.repeat(drawn(7, 300), 500, axis=0)
    found = nearest(corpus[:1], corpus, k=500)
    assert found["corpus_row"].to_list() == list(range(500))
    assert found["similarity"].n_unique() == 1


def test_many_queries_are_compared_in_several_goes() -> None:
    corpus = drawn(5_000, 8)
    queries = corpus[: SCORES_MAX // len(corpus) * 2 + 5]
    found = nearest(queries, corpus, k=1)
    assert found["corpus_row"].to_list() == found["query_row"].to_list() == list(range(len(queries)))


def test_a_row_without_a_vector_is_never_found_and_finds_nothing() -> None:
    found = nearest(HOLED, HOLED, k=2)
    assert found["query_row"].to_list() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert found.filter(pl.col("rank") == 1)["corpus_row"].to_list() == [1, 2, 3, 4]
    assert found.filter(pl.col("query_row") == 3)["corpus_row"].to_list() == [3, 1]


def test_there_are_no_more_than_there_are() -> None:
    assert nearest(COLUMN[:1], TABLE, k=99).height == 4
    nothing = pl.DataFrame(schema={"embeddings": pl.Array(pl.Float32, 0)})
    for queries, corpus in ((nothing, TABLE), (TABLE, nothing), (TABLE, HOLED[:1])):
        found = nearest(queries, corpus)
        assert (found.height, found.columns) == (0, ["query_row", "corpus_row", "rank", "similarity"])


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: to_numpy(HOLED), r"2 rows of the data have no vector: 0, 5, counted from 0.*drop_nulls"),
        (lambda: to_numpy(pl.concat([HOLED] * 3)), r"6 rows .*: 0, 5, 6, 11, 12, …, counted"),
        (
            lambda: to_numpy(pl.DataFrame({"a": [1]})),
            "In the data there is no column 'embeddings'.* The columns are: a",
        ),
        (lambda: to_numpy(pl.Series(["x"])), "holds String, and no vectors"),
        (lambda: to_numpy(pl.Series([["x"]])), "and no vectors"),
        (lambda: to_numpy([[1.0]]), "a column or a numpy array, and the data in a list"),  # type: ignore[arg-type]
        (lambda: to_numpy(np.zeros((1, 1, 1))), "has 3 dimensions"),
        (lambda: to_numpy(np.array(["x"])), "holds <U1, and no vectors"),
        (lambda: nearest(TABLE, pl.Series([[1.0], [1.0, 2.0]])), "vectors of the corpus are of several lengths: 1, 2"),
        (
            lambda: nearest(TABLE, np.ones((1, 3))),
            "queries have vectors of 2 numbers, and the corpus of 3: .* same model",
        ),
        (lambda: nearest(TABLE, ZERO), "Row 1 of the corpus, counted from 0, points nowhere"),
        (lambda: nearest(ZERO * np.nan, TABLE), "Row 0 of the queries.* NaN"),
        (lambda: nearest(TABLE, pl.Series([None, [1.0, float("inf")]])), "Row 1 of the corpus.* infinite"),
        (lambda: nearest(TABLE, np.array([[1e30, 0.0]])), "Row 0 of the corpus.* out of all proportion"),
        (lambda: nearest(TABLE, np.array([[1e-30, 0.0]])), "Row 0 of the corpus"),
        (lambda: nearest(TABLE, TABLE, k=0), "k= says .* not 0"),
        (lambda: nearest(TABLE, TABLE, k="3"), "not '3'"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_compared_is_said(call: Callable[[], object], why: str) -> None:
    with pytest.raises(SettingError, match=why):
        call()


def test_where_there_is_no_numpy_it_is_said_what_to_install() -> None:
    code = "import sys; sys.modules['numpy'] = None; import tidyllm as tl; tl.nearest([], [])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.endswith("SettingError: This needs numpy: pip install numpy.\n")
