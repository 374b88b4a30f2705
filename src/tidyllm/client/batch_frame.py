"""The rows of a job on disk, and the tables that they become with what their batches answered.

This module loads polars, half a second: the others of `client` import it where a table is made, and not before.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import msgspec
import narwhals as nw
import polars as pl

from tidyllm.client.changed import apart
from tidyllm.client.collect import Collected
from tidyllm.client.columns import Columns
from tidyllm.client.frame import ROW_ID, Table, cell_bytes, join_columns
from tidyllm.client.jobs import JobRecord, canonical
from tidyllm.client.results import counts_more, rank_of
from tidyllm.client.rows import TableKind
from tidyllm.client.vector_frame import VECTORS
from tidyllm.core.errors import JobError, SettingError
from tidyllm.core.message import Conversation
from tidyllm.core.reply import Answer, Outcome

_FLOAT_BYTES = 4
_CONVERSATION = "conversation"
"""The column of the conversations of a list, as JSON."""
_ID = "custom_id"

Numbered = Iterable[tuple[int, Answer]]
"""Answers with the numbers of their rows, from 1; of two for one row the later counts."""


def save_talks(path: Path, talks: Sequence[Conversation], *, ids: Sequence[str]) -> None:
    """Write conversations and their ids as Parquet."""
    told = [msgspec.json.encode(talk).decode() for talk in talks]
    pl.DataFrame(
        {_CONVERSATION: told, ROW_ID: ids}, schema={_CONVERSATION: pl.String, ROW_ID: pl.String}
    ).write_parquet(path)


@contextmanager
def readable_rows(path: Path) -> Iterator[None]:
    """Raise JobError, which says where the answers are, where the rows of a job cannot be read in the block."""
    try:
        yield
    except (OSError, ValueError, pl.exceptions.PolarsError) as fault:
        raise JobError(
            f"The rows of the job are not to be had from {path}: {fault}. Remove that file, and give the same rows "
            "to send_batch again under the same name: they are written down anew, and nothing is sent twice. Its "
            "answers are beside it, in raw/; with the batch's id and provider=, and without the job's folder, "
            "fetch_batch gives them as a table of their own.",
            name=path.parent.name,
        ) from fault


def read_talks(path: Path) -> list[Conversation]:
    """Return the conversations that `save_talks` wrote, by their numbers."""
    with readable_rows(path):
        rows = pl.read_parquet(path)
    numbers = [int(row_id.rpartition("-")[2]) for row_id in rows[ROW_ID]]
    talks = dict(zip(numbers, rows[_CONVERSATION], strict=True))
    return [msgspec.json.decode(talks[number], type=Conversation) for number in sorted(talks)]


def row_that_differs(table: Table, rows: Path, *, record: JobRecord) -> str | None:
    """Say which row of a table is the first to differ from those of a job; null where that cannot be known.

    Only the columns that both have are looked at.
    """
    try:
        kept = Table(nw.read_parquet(rows, backend=_kind(record)).drop(ROW_ID))
        if canonical(kept.digest()) != record.parts.get("data"):
            return None
    except (OSError, ValueError, pl.exceptions.PolarsError, nw.exceptions.NarwhalsError, SettingError):
        # They are gone or damaged, or somebody has changed them: that is told when they are needed.
        return None
    shared = [name for name in table.columns if name in kept.columns]
    for number, (was, now) in enumerate(zip(kept.rows(), table.rows(), strict=False), 1):
        for name in shared:
            if cell_bytes(was[name]) != cell_bytes(now[name]):
                old, new = apart(repr(was[name]), repr(now[name]))
                return f"the first that differs is row {number:,}: its {name!r} was {old}, now {new}"
    if kept.height == table.height:
        return "what both have is the same"
    return f"the first {min(kept.height, table.height):,} are the same"


def talk_that_differs(talks: Sequence[Conversation], rows: Path) -> str | None:
    """Say which conversation is the first to differ from those of a job; null where that cannot be known."""
    try:
        kept = read_talks(rows)
    except JobError:
        # That is told when they are needed.
        return None
    pairs = enumerate(zip(kept, talks, strict=False), 1)
    first = next((number for number, (was, now) in pairs if was != now), None)
    return None if first is None else f"the first that differs is conversation {first:,}"


def answer_columns(record: JobRecord, answers: Numbered) -> pl.DataFrame:
    """Return the columns of a job's answers, one row each, in the order of the rows."""
    collected = Collected(record.schema)
    for number, answer in answers:
        collected.add(number - 1, answer)
    return collected.columns(record.height, pending=None, prefix=record.prefix)


def answered_frame(rows: Path, record: JobRecord, *, answers: Numbered) -> pl.DataFrame:
    """Return a job's rows with their answers, as the kind of table they were; type checkers are told of one alone."""
    added = answer_columns(record, answers)
    with readable_rows(rows):
        return cast("pl.DataFrame", join_columns(rows, _kind(record), added=added))


def embedded_frame(rows: Path, record: JobRecord, *, answers: Numbered, empty: int) -> pl.DataFrame:
    """Return a job's rows with their vectors, likewise; where there is none at all, they have `empty` numbers."""
    vectors = _Vectors(record.height)
    for number, answer in answers:
        vectors.add(number - 1, answer)
    added = vectors.columns(empty=empty).rename(lambda name: record.prefix + name)
    with readable_rows(rows):
        return cast("pl.DataFrame", join_columns(rows, _kind(record), added=added))


def loose_frame(answers: Iterable[Answer], record: JobRecord) -> pl.DataFrame:
    """Return answers as a table of their own, where the rows that asked are unknown; a paid one before another,
    else the newest.
    """
    best: dict[str, Answer] = {}
    for answer in answers:
        known = best.get(answer.custom_id)
        if known is None or counts_more(answer, rank_of(known)):
            best[answer.custom_id] = answer
    ids = pl.Series(_ID, list(best), dtype=pl.String)
    if record.embeds is not None:
        vectors = _Vectors(len(best))
        for number, answer in enumerate(best.values()):
            vectors.add(number, answer)
        return vectors.columns(empty=0).insert_column(0, ids)
    columns = Columns()
    return pl.DataFrame(map(columns.row, best.values()), schema=columns.types, orient="row").insert_column(0, ids)


class _Vectors:
    """Vectors of rows in whatever order they come, as one piece of memory, and what became of the rows without."""

    def __init__(self, height: int) -> None:
        self._places: list[int | None] = [None] * height
        self._status: list[str | None] = [None] * height
        self._error: list[str | None] = [None] * height
        self._data = bytearray()
        self._bytes = 0
        """Of each vector, once there is one."""

    def add(self, row: int, answer: Answer) -> None:
        """Take what became of a row, numbered from 0. A vector that is unlike the others in length cannot be used."""
        outcome, error = answer.outcome, answer.error
        self._places[row] = None
        if answer.vector is not None:
            self._bytes = self._bytes or len(answer.vector)
            if len(answer.vector) == self._bytes:
                self._places[row] = len(self._data) // self._bytes
                self._data += answer.vector
            else:
                outcome = Outcome.INVALID
                error = f"The vector has {len(answer.vector) // _FLOAT_BYTES} numbers, and others another many."
        self._status[row], self._error[row] = outcome.value, error

    def columns(self, *, empty: int) -> pl.DataFrame:
        """Return the columns of vectors, statuses and errors."""
        length = self._bytes // _FLOAT_BYTES or empty
        floats = pl.Series(VECTORS, memoryview(self._data).cast("f"), dtype=pl.Float32)
        vectors = floats.reshape((-1, length)) if self._data else pl.Series(VECTORS, [], pl.Array(pl.Float32, length))
        return pl.DataFrame(
            [
                vectors.gather(pl.Series(self._places, dtype=pl.UInt32)).alias(VECTORS),
                pl.Series("llm_status", self._status, pl.String),
                pl.Series("llm_error", self._error, pl.String),
            ]
        )


def _kind(record: JobRecord) -> TableKind:
    kind = record.kind
    assert kind is not None  # noqa: S101 - rows of elsewhere have a table of their own
    assert kind != "messages"  # noqa: S101 - conversations come back as such
    return kind
