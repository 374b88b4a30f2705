"""`tidyllm upstreams`: how the batch server finds its upstreams."""

import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidyllm.cli.extra import needing_server_libraries
from tidyllm.cli.shown import print_table

if TYPE_CHECKING:
    from tidyllm.server.records import UpstreamState

app = typer.Typer()

COLUMNS = ("name", "state", "in flight", "limit found", "reason", "as of")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@app.command()
def upstreams(
    *, data: Annotated[Path | None, typer.Option(help="Folder of everything the server keeps.")] = None
) -> None:
    """Show how the workers of a server find its upstreams.

    Requests in flight and the limits that were found are summed over the workers.
    """
    # The server's libraries are an extra that may not be installed, and take long to load.
    from tidyllm.server.settings import load_settings  # noqa: PLC0415 - for that reason

    folder = load_settings({"data": data}).data
    with needing_server_libraries():
        from tidyllm.server.stores.sql.engine import open_store  # noqa: PLC0415 - for that reason
    store = open_store(folder)
    try:
        states = store.upstream_states()
    finally:
        store.close()
    if states:
        print_table(COLUMNS, rows(states, now=int(time.time())))
    else:
        typer.echo(f"Nothing is known of upstreams in {folder}: no worker runs there, or none has sent anything yet.")


def rows(states: Sequence["UpstreamState"], *, now: int) -> list[tuple[str, ...]]:
    """Return a row of text for each upstream, from what each worker says of it; `states` are ordered by name."""
    return [_row(name, list(of_one), now=now) for name, of_one in groupby(states, key=lambda state: state.name)]


def _row(name: str, states: Sequence["UpstreamState"], *, now: int) -> tuple[str, ...]:
    limits = [state.limit_found for state in states if state.limit_found is not None]
    return (
        name,
        _each_once(state.state for state in states),
        str(sum(state.in_flight for state in states)),
        f"{sum(limits):g}" if limits else "—",
        _each_once(state.reason or "" for state in states),
        _ago(now - min(state.updated_at for state in states)),
    )


def _each_once(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, words)))


def _ago(seconds: int) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{max(seconds, 0) // size} {unit} ago"
