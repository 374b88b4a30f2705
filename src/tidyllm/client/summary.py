"""How a run went, in a small table: the verb `summary`."""

import re
from typing import TYPE_CHECKING

from tidyllm.core.errors import SettingError

if TYPE_CHECKING:
    import polars as pl
    from narwhals.typing import IntoDataFrame

_KIND = "kind"
_NEEDED = tuple(f"llm_{name}" for name in ("status", "error", "tokens_in", "tokens_out", "cost", "seconds", "attempts"))
_PARTICULAR = r"'[^']*'|\"[^\"]*\"|[0-9a-f-]{16,}|\d+"
"""What differs between errors of one kind: figures, ids, and what is quoted."""


def summary(table: "IntoDataFrame", *, prefix: str = "") -> "pl.DataFrame":
    """Return how the rows of a table ended that `chat` has answered: one row a status and kind of error.

        summary(rated)

    The most frequent comes first. Columns: `status`; `rows`, how many; `error`, the first of its kind, and `first_row`,
    where that stands, counted from 0; `tokens_in`, `tokens_out` and `cost`, in US dollars, together; `seconds` of an
    answer, on average; `retries`, together. `prefix` is the one that `chat` was given. Raises SettingError for a table
    that has no answers.
    """
    # Imported here, because they load polars.
    import polars as pl  # noqa: PLC0415

    from tidyllm.client.frame import plain_table  # noqa: PLC0415

    answered = plain_table(table)
    needed = [prefix + name for name in _NEEDED]
    if missing := [name for name in needed if name not in answered.columns]:
        raise SettingError(f"This table has no column {missing[0]!r}: give one that chat has answered.")
    told = answered.select(pl.col(f"^{re.escape(prefix)}llm_.*$").name.map(lambda name: name.removeprefix(prefix)))
    kind = pl.col("llm_error").str.replace_all(_PARTICULAR, "…")
    grouped = told.with_row_index("row").group_by("llm_status", kind.alias(_KIND), maintain_order=True)
    rows = grouped.agg(
        pl.len().cast(pl.Int64).alias("rows"),
        pl.col("llm_error").first().alias("error"),
        pl.col("row").first().cast(pl.Int64).alias("first_row"),
        *(_together(name) for name in ("tokens_in", "tokens_out", "cost")),
        pl.col("llm_seconds").mean().alias("seconds"),
        (pl.col("llm_attempts") - 1).sum().alias("retries"),
    )
    return rows.rename({"llm_status": "status"}).drop(_KIND).sort("rows", descending=True, maintain_order=True)


def _together(name: str) -> "pl.Expr":
    """Return a column's sum; null where none of it is known."""
    import polars as pl  # noqa: PLC0415 - as above

    column = pl.col(f"llm_{name}")
    return pl.when(column.is_not_null().any()).then(column.sum()).alias(name)
