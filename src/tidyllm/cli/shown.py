"""Tables as the commands print them: for people on a terminal, and as JSONL for programs."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import typer


def show(rows: Sequence[Mapping[str, object]], *, columns: Sequence[str]) -> None:
    """Print rows: these columns on a terminal, and everything, one object a line, where the output is none."""
    if sys.stdout.isatty():
        print_table(columns, ([_text(row[column]) for column in columns] for row in rows))
        return
    # It loads slower than the whole command line.
    import msgspec  # noqa: PLC0415 - for that reason

    for row in rows:
        typer.echo(msgspec.json.encode(row))


def print_table(columns: Sequence[str], texts: Iterable[Sequence[str]]) -> None:
    """Print rows of text as a table for people."""
    # It takes long to load.
    from rich.console import Console  # noqa: PLC0415 - for that reason
    from rich.table import Table  # noqa: PLC0415 - for that reason
    from rich.text import Text  # noqa: PLC0415 - for that reason

    table = Table(*columns)
    for row in texts:
        # They may hold what others have said: nothing of it is for the terminal to obey.
        table.add_row(*(Text("".join(one if one.isprintable() else " " for one in text)) for text in row))
    Console().print(table)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    return "" if value is None else str(value)
