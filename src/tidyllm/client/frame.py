"""Tables at the edge: what comes in, what is kept on disk, and the columns of what goes out.

This module loads polars, half a second: the others of `client` import it where a table is made, and not before.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

import msgspec
import narwhals as nw
import polars as pl
from narwhals.typing import IntoDataFrame

from tidyllm.client.columns import Columns, bounded
from tidyllm.client.rows import LIST_COLUMN, TableKind
from tidyllm.core.batch import Batch
from tidyllm.core.errors import SettingError
from tidyllm.core.model_info import ModelInfo
from tidyllm.core.reply import Reply
from tidyllm.core.schema import Schema
from tidyllm.transport.background import BACKGROUND

ROW_ID = "llm_custom_id"
"""Column of `rows.parquet` that says which request belongs to a row."""

_UTC = pl.Datetime("us", "UTC")
_REPLY_COLUMNS: Mapping[str, pl.DataType] = {
    "model": pl.String(),
    "provider": pl.String(),
    "finish": pl.String(),
    "tokens_in": pl.Int64(),
    "tokens_out": pl.Int64(),
    "tokens_cached": pl.Int64(),
    "tokens_reasoning": pl.Int64(),
    "cost": pl.Float64(),
    "seconds": pl.Float64(),
    "request_id": pl.String(),
}
"""The columns of a conversation's table of answers, which are fields of a reply."""
_BATCH_COLUMNS: Mapping[str, tuple[pl.DataType, Callable[[Batch], object]]] = {
    "batch_id": (pl.String(), lambda batch: batch.id),
    "status": (pl.String(), lambda batch: batch.status_word or batch.status.value),
    "created_at": (_UTC, lambda batch: _microseconds(batch.created_at)),
    "expires_at": (_UTC, lambda batch: _microseconds(batch.expires_at)),
    "request_total": (pl.Int64(), lambda batch: batch.counts.total),
    "request_completed": (pl.Int64(), lambda batch: batch.counts.completed),
    "request_failed": (pl.Int64(), lambda batch: batch.counts.failed),
    "model": (pl.String(), lambda batch: batch.model),
    "endpoint": (pl.String(), lambda batch: batch.endpoint),
    "completed_at": (_UTC, lambda batch: _microseconds(batch.completed_at)),
    "output_file_id": (pl.String(), lambda batch: batch.output_file_id),
    "error_file_id": (pl.String(), lambda batch: batch.error_file_id),
    "input_file_id": (pl.String(), lambda batch: batch.input_file_id),
    "in_progress_at": (_UTC, lambda batch: _microseconds(batch.in_progress_at)),
    "finalizing_at": (_UTC, lambda batch: _microseconds(batch.finalizing_at)),
    "failed_at": (_UTC, lambda batch: _microseconds(batch.failed_at)),
    "expired_at": (_UTC, lambda batch: _microseconds(batch.expired_at)),
    "cancelling_at": (_UTC, lambda batch: _microseconds(batch.cancelling_at)),
    "cancelled_at": (_UTC, lambda batch: _microseconds(batch.cancelled_at)),
    "tokens_in": (pl.Int64(), lambda batch: None if batch.usage is None else batch.usage.input_tokens),
    "tokens_out": (pl.Int64(), lambda batch: None if batch.usage is None else batch.usage.output_tokens),
    "error": (pl.String(), lambda batch: "\n".join(map(str, batch.problems)) or None),
    "metadata": (pl.String(), lambda batch: msgspec.json.encode(batch.metadata).decode() if batch.metadata else None),
}
"""The columns of every table of batches, with `provider` put in after the seventh."""
_PROVIDER_AT = 7
_MODEL_COLUMNS: Mapping[str, tuple[pl.DataType, Callable[[ModelInfo], object]]] = {
    "id": (pl.String(), lambda model: model.id),
    "name": (pl.String(), lambda model: model.name),
    "created_at": (_UTC, lambda model: _microseconds(model.created_at)),
    "owned_by": (pl.String(), lambda model: model.owned_by),
    "context_tokens": (pl.Int64(), lambda model: model.context_tokens),
    "output_tokens_max": (pl.Int64(), lambda model: model.output_tokens_max),
    "capabilities": (pl.List(pl.String()), lambda model: list(model.capabilities)),
    "ends_at": (pl.String(), lambda model: model.ends_at),
}
"""The columns of a table of models, with `provider` before them."""
_JSON_TYPES = (str, int, bool, list, dict, type(None))
_MICROSECONDS = 1_000_000


class Table:
    """A user's table of whatever kind, with the few things that a job needs of it."""

    def __init__(self, frame: nw.DataFrame[IntoDataFrame]) -> None:
        # `read_table` lets no other kind through.
        self.kind = cast("TableKind", frame.implementation.value)
        self.columns = tuple(frame.columns)
        self.height = len(frame)
        self._frame = frame
        self._plain = _as_polars(frame)

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield the rows as plain values; a missing value is None, whatever the kind of table calls it."""
        return self._plain.iter_rows(named=True)

    def texts(self, column: str) -> list[str | None]:
        """Return the texts of a column. Raises SettingError where there is none of that name, or of something else."""
        if column not in self.columns:
            raise SettingError(f"There is no column {column!r}. The columns are: {', '.join(self.columns)}.")
        found = self._plain.get_column(column)
        if found.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
            raise SettingError(f"The column {column!r} holds {found.dtype}, and no texts.")
        return found.cast(pl.String).to_list()

    def digest(self) -> str:
        """Return a hash of the columns' names and of all values, the same in every process."""
        state = hashlib.sha256(_canonical(self.columns))
        for row in self.rows():
            values = tuple(row.values())
            state.update(b"\n" + _canonical((*values, *filter(None, map(_unlike_json, values)))))
        return state.hexdigest()

    def taken(self, rows: Sequence[int]) -> IntoDataFrame:
        """Return the user's table with these rows alone, numbered from 0, as the kind of table it is."""
        part: IntoDataFrame = self._frame[list(rows)].to_native()
        return part

    def with_columns(self, added: pl.DataFrame) -> IntoDataFrame:
        """Return the user's table, untouched, with columns of ours beside its own, as the kind of table it is."""
        told = nw.from_native(as_kind(added, self.kind), eager_only=True)
        joined: IntoDataFrame = self._frame.with_columns(*(told.get_column(name) for name in told.columns)).to_native()
        return joined

    def save(self, path: Path, ids: Sequence[str]) -> None:
        """Write the rows and their ids as Parquet."""
        column = nw.new_series(ROW_ID, ids, nw.String, backend=self._frame.implementation)
        self._frame.with_columns(column).write_parquet(path)


def open_table(data: object) -> nw.DataFrame[IntoDataFrame]:
    """Return the table that a user gave. Raises SettingError for what is none of the kinds that are taken."""
    frame = _opened(data)
    if frame.implementation.value not in get_args(TableKind):
        raise SettingError(f"A {frame.implementation.value} table is not taken: give polars, pandas or Arrow.")
    if odd := [name for name in frame.columns if not isinstance(name, str)]:
        raise SettingError(f"A column is called {odd[0]!r}: names of columns must be text.")
    return frame


def refuse_collision(columns: Iterable[str], *, adds: Iterable[str], hint: str = "") -> None:
    """Raise SettingError where a table has columns already that a verb would put beside them."""
    added = set(adds)
    if taken := [name for name in columns if name in added]:
        raise SettingError(f"The columns {', '.join(taken)} would collide with the answers: rename or drop them{hint}.")


def read_table(
    data: list[str] | IntoDataFrame,
    *,
    schema: Schema | None = None,
    prefix: str = "",
    adds: Iterable[str] | None = None,
) -> Table:
    """Return the table that a user gave; a list of texts becomes the one column `prompt`.

    Raises SettingError for anything else, and for columns that answers, whose names begin so, would collide with;
    `adds` says which these are where they are not those of a chat.
    """
    # Threads of polars do not come along either, and it would wait for them without end.
    BACKGROUND.refuse_fork()
    frame = open_table(data)
    added = (ROW_ID, *(prefix + name for name in adds or Columns(schema).types))
    refuse_collision(frame.columns, adds=added, hint=', or give prefix="new_"')
    return Table(frame)


def plain_table(data: IntoDataFrame) -> pl.DataFrame:
    """Return any kind of table as one of polars. Raises SettingError for what is none."""
    return _as_polars(_opened(data))


def join_columns(rows: Path, kind: TableKind, *, added: pl.DataFrame) -> IntoDataFrame:
    """Return the rows that `Table.save` wrote, with columns beside them, as the kind of table they were.

    The columns are in the order of the rows' numbers; each row has its number at the end of its id.
    """
    frame: nw.DataFrame[IntoDataFrame] = nw.read_parquet(rows, backend=kind)
    ids = frame.get_column(ROW_ID).to_list()
    numbers = [int(row_id.rpartition("-")[2]) - 1 for row_id in ids]
    if numbers != list(range(added.height)):
        added = added[numbers]
    refuse_collision([name for name in frame.columns if name != ROW_ID], adds=added.columns)
    told = nw.from_native(as_kind(added, kind), eager_only=True)
    joined: IntoDataFrame = (
        frame.drop(ROW_ID).with_columns(*(told.get_column(name) for name in told.columns)).to_native()
    )
    return joined


def replies_frame(replies: Iterable[Reply]) -> pl.DataFrame:
    """Return a table of answers, one row each, all its columns typed, however many there are."""
    rows = [tuple(bounded(getattr(reply, name)) for name in _REPLY_COLUMNS) for reply in replies]
    return pl.DataFrame(rows, schema=dict(_REPLY_COLUMNS), orient="row")


def batches_frame(batches: Iterable[Batch], *, provider: str) -> pl.DataFrame:
    """Return a table of batches, all its columns typed, however many there are."""
    found = list(batches)
    columns = [
        pl.Series(name, [read(batch) for batch in found], dtype=kind) for name, (kind, read) in _BATCH_COLUMNS.items()
    ]
    columns.insert(_PROVIDER_AT, pl.Series("provider", [provider] * len(found), dtype=pl.String))
    return pl.DataFrame(columns)


def models_frame(models: Iterable[ModelInfo], *, provider: str) -> pl.DataFrame:
    """Return a table of models, all its columns typed, however many there are."""
    found = list(models)
    columns = [
        pl.Series(name, [bounded(read(model)) for model in found], dtype=kind)
        for name, (kind, read) in _MODEL_COLUMNS.items()
    ]
    return pl.DataFrame([pl.Series("provider", [provider] * len(found), dtype=pl.String), *columns])


def as_kind(frame: pl.DataFrame, kind: TableKind) -> IntoDataFrame:
    """Return a table of ours as another library's.

    In pandas whole numbers stay whole where some are missing, and vectors are Arrow's, one block of memory.
    """
    if kind == "polars":
        return frame
    if kind == "pyarrow":
        arrow: IntoDataFrame = frame.to_arrow()
        return arrow
    vectors = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Array)]
    whole = [name for name, dtype in frame.schema.items() if dtype == pl.Int64]
    pandas = frame.drop(vectors).to_pandas().astype(dict.fromkeys(whole, "Int64"))
    blocks = frame.select(vectors).to_pandas(use_pyarrow_extension_array=True)
    joined: IntoDataFrame = pandas.assign(**{name: blocks[name] for name in vectors})[frame.columns]
    return joined


def _opened(data: object) -> nw.DataFrame[IntoDataFrame]:
    if isinstance(data, list):
        if odd := [item for item in data if not isinstance(item, str)]:
            raise SettingError(f"A list of rows must hold texts alone, not {type(odd[0]).__name__}.")
        data = pl.DataFrame({LIST_COLUMN: pl.Series(data, dtype=pl.String)})
    try:
        return nw.from_native(cast("IntoDataFrame", data), eager_only=True)
    except nw.exceptions.NarwhalsError as fault:
        raise SettingError(f"This is no table that can be read: {fault}") from fault
    except TypeError as fault:
        hint = " Call .collect() on it first." if hasattr(data, "collect") else ""
        what = f"{type(data).__module__.partition('.')[0]}.{type(data).__qualname__}".removeprefix("builtins.")
        raise SettingError(f"This is no table of polars, pandas or Arrow, but {what}.{hint}") from fault


def _as_polars(frame: nw.DataFrame[IntoDataFrame]) -> pl.DataFrame:
    try:
        return frame.to_polars()
    except (TypeError, ValueError) as fault:
        raise SettingError(f"A column mixes what does not go together: {fault}") from fault


def _canonical(values: tuple[object, ...]) -> bytes:
    try:
        return msgspec.json.encode(values, order="deterministic")
    except TypeError as fault:
        raise SettingError(f"A cell holds what cannot be written down: {fault}.") from fault


def cell_bytes(value: object) -> bytes:
    """Return what the digest of a table takes of a cell: other bytes for what is not the same."""
    return _canonical((value, _unlike_json(value)))


def _unlike_json(value: object) -> str | None:
    """Return what JSON would not tell of a cell: which infinity it is, or that a text was a moment."""
    if isinstance(value, float):
        return None if math.isfinite(value) else repr(value)
    return None if isinstance(value, _JSON_TYPES) else type(value).__name__


def _microseconds(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * _MICROSECONDS
