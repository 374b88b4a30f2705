"""`tidyllm serve`: the durable batch server."""

from pathlib import Path
from typing import Annotated

import typer

from tidyllm.cli.extra import needing_server_libraries

app = typer.Typer()


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of everything the server keeps.")] = None,
    upstream: Annotated[str | None, typer.Option(help="Base URL of the endpoint that answers, with its /v1.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Requests in flight, in each worker.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file; ./tidyllm.toml unless told otherwise.")] = None,
) -> None:
    """Serve the Batch and Files API in front of a model endpoint.

    What is not given here comes from TIDYLLM_... variables, then from the table `server` of the settings file.

    At SIGHUP it reads the `upstream` tables of the settings file again.
    """
    # The server's libraries are an extra that may not be installed, and take long to load.
    from tidyllm.server.settings import SETTINGS_FILE, load_settings  # noqa: PLC0415 - for that reason

    given = {
        "host": host,
        "port": port,
        "data": data,
        "upstream": upstream,
        "workers": workers,
        "concurrency": concurrency,
    }
    # If it was there, it has to be there when it is read again.
    file = config or (SETTINGS_FILE if SETTINGS_FILE.exists() else None)
    settings = load_settings(given, file=file)
    with needing_server_libraries():
        from tidyllm.server.serve import run  # noqa: PLC0415 - for that reason
    raise typer.Exit(run(settings, typer.echo, reload=lambda: load_settings(given, file=file)))
