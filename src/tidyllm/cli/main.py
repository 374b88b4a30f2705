"""The `tidyllm` command: its parts put together, and how its errors are told."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from tidyllm.cli import serve, simulate, upstreams
from tidyllm.core.errors import TidyllmError

ERROR_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
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
    """Run the command that the arguments name; an error of ours is one line on stderr and exit code 2."""
    try:
        app()
    except TidyllmError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(ERROR_EXIT_CODE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_EXIT_CODE)  # It came before the command could see to it: nothing was begun.
