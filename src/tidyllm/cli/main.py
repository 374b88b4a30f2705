"""The `tidyllm` command: its parts put together, and how its errors are told."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from tidyllm.cli import batch, serve, simulate, upstreams
from tidyllm.core.errors import SettingError, TidyllmError

ERROR_EXIT_CODE = 1
USAGE_EXIT_CODE = 2

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(batch.app, name="batch")
app.add_typer(serve.app)
app.add_typer(simulate.app)
app.add_typer(upstreams.app)


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"tidyllm {version('tidyllm')}")
        raise typer.Exit


@app.callback()
def tidyllm(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Language models over tables, and a durable batch server of your own."""
    del show_version  # Its callback has seen to it.


def main() -> None:
    """Run the command that the arguments name; an error of ours is told on stderr.

    The exit code is 2 for what was asked for and cannot be, where nothing was done, and 1 for what went wrong.
    """
    try:
        app()
    except TidyllmError as error:
        typer.echo("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]), err=True)
        sys.exit(USAGE_EXIT_CODE if isinstance(error, SettingError) else ERROR_EXIT_CODE)
    except KeyboardInterrupt:
        sys.exit(batch.INTERRUPTED_EXIT_CODE)  # It came before the command could see to it: nothing was begun.
