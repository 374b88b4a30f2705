"""What the tests of runs over tables share: rows, a model for them, and what it said."""

from typing import Any

import polars as pl

from tidyllm import local
from tidyllm.provider import Model
from tidyllm.testing import SimulatedModel

ANSWER = "Simulated answer to: "


def of(running: SimulatedModel, **options: Any) -> Model:
    return local("m", base_url=running.base_url, **options)


def rows(count: int) -> pl.DataFrame:
    return pl.DataFrame({"text": [f"row {number}" for number in range(count)], "n": range(count)})


def said(table: pl.DataFrame) -> list[str | None]:
    """Return what each row was answered, without the words before its own text."""
    return [None if text is None else text.removeprefix(ANSWER) for text in table["reply"].to_list()]
