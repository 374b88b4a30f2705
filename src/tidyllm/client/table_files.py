"""Tables in files: JSONL, CSV and Parquet, read and written by the end of the file's name.

This module loads polars, half a second: the others of `client` import it where a table is made, and not before.
"""

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import polars as pl
from narwhals.typing import IntoDataFrame

from tidyllm.client.disk import replacing
from tidyllm.client.frame import plain_table
from tidyllm.core.errors import SettingError
from tidyllm.core.jsonl import read_lines

_NO_ROWS = "has no rows: there is nothing to send"


class TableFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that holds a table, or the same from standard input."""

    name: str
    """As messages have it."""
    end: str
    """Which form it has: `.jsonl`, `.csv` or `.parquet`."""
    content: Path | bytes
    """Where it stands, or what came."""

    def open(self) -> BinaryIO:
        """Return it for reading, from the start. Raises SettingError where it cannot be opened."""
        if isinstance(self.content, bytes):
            return BytesIO(self.content)
        try:
            return self.content.open("rb")
        except OSError as fault:
            raise SettingError(f"{self.name} cannot be read: {fault.strerror}.") from fault


def end_of(name: str) -> str:
    """Return the form of a table that the end of a file's name tells. Raises SettingError where it tells none."""
    end = Path(name).suffix.lower()
    if end not in _READERS:
        raise SettingError(f"{name}: a table is a file whose name ends in {', '.join(_READERS)}.")
    return end


def read_file(file: TableFile) -> pl.DataFrame:
    """Return the table that a file holds. Raises SettingError, which says where, for what it cannot hold.

    The cells of CSV are texts, as they stand there.
    """
    with file.open() as data:
        try:
            table = _READERS[file.end](data, file.name)
        except pl.exceptions.PolarsError as fault:
            said = str(fault).partition("\n")[0]
            raise SettingError(f"{file.name} is no {file.end[1:]} that can be read: {said}.") from fault
    if table.height == 0:
        raise SettingError(f"{file.name} {_NO_ROWS}.")
    return table


def write_file(table: pl.DataFrame, path: Path) -> None:
    """Write a table as the end of the file's name says; whoever looks meanwhile sees the old file or the whole new one.

    Raises SettingError for what that form cannot hold, and where nothing can be written.
    """
    end = end_of(path.name)
    if end == ".csv":
        _refuse_nested(table, path)
    try:
        with replacing(path) as part:
            _write(table, part, end=end)
    except OSError as fault:
        raise SettingError(f"{path} cannot be written: {fault.strerror}.") from fault


def fetched_table(fetched: object, *, name: str) -> pl.DataFrame:
    """Return what was fetched as a table of polars, whatever kind was sent. Raises SettingError for conversations."""
    if isinstance(fetched, list):
        raise SettingError(
            f"The job {name!r} is of conversations, which are no table: fetch it by fetch_batch({name!r})."
        )
    return plain_table(cast("IntoDataFrame", fetched))


def json_lines(table: pl.DataFrame) -> Iterator[bytes]:
    """Yield each row as JSON, with its line end; times are as ISO 8601 has them."""
    for row in table.iter_rows(named=True):
        yield msgspec.json.encode(row) + b"\n"


def _write(table: pl.DataFrame, path: Path, *, end: str) -> None:
    if end == ".parquet":
        table.write_parquet(path)
    elif end == ".csv":
        table.write_csv(path)
    else:
        with path.open("wb") as file:
            file.writelines(json_lines(table))


def _refuse_nested(table: pl.DataFrame, path: Path) -> None:
    nested = [name for name, kind in table.schema.items() if kind.is_nested()]
    if nested:
        raise SettingError(
            f"{path}: CSV cannot hold lists or vectors, as the columns {', '.join(nested)} have them: write .jsonl or "
            ".parquet."
        )


def _read_jsonl(data: BinaryIO, name: str) -> pl.DataFrame:
    numbers, rows = [], []
    for line in read_lines(data):
        try:
            row = msgspec.json.decode(line.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise SettingError(f"{name}, line {line.number} is no JSON: {fault}.") from fault
        if not isinstance(row, dict):
            raise SettingError(f"{name}, line {line.number} is no object, of which each field would be a column.")
        numbers.append(line.number)
        rows.append(row)
    try:
        table = pl.DataFrame(rows, infer_schema_length=None)
    except (TypeError, ValueError, OverflowError) as fault:
        raise SettingError(f"{name}: a column mixes what does not go together: {fault}.") from fault
    for number, given, made in zip(numbers, rows, table.iter_rows(named=True), strict=True):
        for column, value in given.items():
            # Polars would make texts of numbers where a column has both.
            if not _same(value, made[column]):
                raise SettingError(
                    f"{name}, line {number}: the column {column!r} holds {value!r}, and something of another kind in "
                    "other lines."
                )
    return table


def _same(given: object, made: object) -> bool:
    """Whether a value has become itself; a field that an object lacks is null in it."""
    if isinstance(given, dict):
        return isinstance(made, dict) and all(_same(given.get(name), value) for name, value in made.items())
    if isinstance(given, list):
        return isinstance(made, list) and len(made) == len(given) and all(map(_same, given, made))
    return isinstance(given, bool) is isinstance(made, bool) and given == made


def _read_csv(data: BinaryIO, name: str) -> pl.DataFrame:
    content = data.read()
    if not content.strip():
        raise SettingError(f"{name} {_NO_ROWS}.")
    names = pl.read_csv(content, has_header=False, n_rows=1, infer_schema=False).row(0)
    if twice := [column for column in names if names.count(column) > 1]:
        raise SettingError(f"{name} has several columns {twice[0]!r}: rename them.")
    return pl.read_csv(content, infer_schema=False)


def _read_parquet(data: BinaryIO, name: str) -> pl.DataFrame:
    del name  # What is wrong with the whole is told by whoever asked.
    return pl.read_parquet(data)


_READERS: Mapping[str, Callable[[BinaryIO, str], pl.DataFrame]] = {
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
