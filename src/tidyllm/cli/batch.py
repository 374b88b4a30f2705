"""`tidyllm batch`: tables as batches, from one file to another, with any provider that has batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

import tidyllm as tl
from tidyllm.cli.shown import show
from tidyllm.cli.whom import model_from, whom

if TYPE_CHECKING:
    from tidyllm.cli.batch_send import Order

INTERRUPTED_EXIT_CODE = 130
_LOCAL = "local"
_BATCH_COLUMNS = (
    *("batch_id", "status", "created_at", "request_total", "request_completed", "request_failed"),
    *("model", "error"),
)
_SEND_AGAIN = "The same line again goes on where it stopped, and looks for the batch before it creates one."

JobName: TypeAlias = Annotated[
    str, typer.Argument(metavar="JOB", help="A job's name; with --model, the provider's id of any batch.")
]
File: TypeAlias = Annotated[
    str, typer.Argument(metavar="FILE", help="A .jsonl, .csv or .parquet file; - for JSONL on standard input.")
]
Provider: TypeAlias = Annotated[
    str | None, typer.Option("--model", "--provider", help="Whom to ask: a provider, or provider/model.")
]
Asked: TypeAlias = Annotated[
    str, typer.Option("--model", "--provider", help="Whom to ask: provider/model, or a provider for its usual model.")
]
BaseUrl: TypeAlias = Annotated[str | None, typer.Option(help="Another address of the same API.")]
Prompt: TypeAlias = Annotated[
    str | None, typer.Option(help="What to ask of each row: a text with {column} in it; else the column `prompt`.")
]
System: TypeAlias = Annotated[str | None, typer.Option(help="What the model is told first; may have {column} in it.")]
SchemaFile: TypeAlias = Annotated[
    Path | None, typer.Option(help="File with the JSON Schema of the answers: its fields become columns.")
]
Name: TypeAlias = Annotated[str | None, typer.Option(help="The job's name; without one it is made of the content.")]
Embed: TypeAlias = Annotated[str | None, typer.Option(help="Column whose texts become vectors, instead of a prompt.")]
Budget: TypeAlias = Annotated[float | None, typer.Option(help="US dollars: what might cost more is not sent.")]
QueueTokens: TypeAlias = Annotated[
    int | None, typer.Option(help="Tokens of prompts that may wait at the provider at a time; `wait` sends the rest.")
]
Prefix: TypeAlias = Annotated[str, typer.Option(help="What the names of the answers' columns begin with.")]
Api: TypeAlias = Annotated[str | None, typer.Option(help="Which of the provider's APIs is spoken.")]
Param: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="A parameter of the model, as temperature=0; may be given several times.")
]
Adopt: TypeAlias = Annotated[
    str | None, typer.Option(help="Id of the batch that a doubtful attempt has created, or none.")
]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing.")]
Out: TypeAlias = Annotated[
    Path | None, typer.Option(help="Where to write: .jsonl, .csv or .parquet; JSONL on standard output without it.")
]

app = typer.Typer(no_args_is_help=True, help="Answer tables as batches: at half the price, and some hours later.")


@app.command()
def send(  # noqa: PLR0913 - one option each
    file: File,
    *,
    model: Asked = _LOCAL,
    prompt: Prompt = None,
    system: System = None,
    schema: SchemaFile = None,
    name: Name = None,
    embed: Embed = None,
    budget: Budget = None,
    queue_tokens: QueueTokens = None,
    prefix: Prefix = "",
    api: Api = None,
    base_url: BaseUrl = None,
    param: Param = None,
    adopt: Adopt = None,
    dry_run: DryRun = False,
) -> None:
    """Send a table as a batch, one request a row, and print the name of the job that it is from now on.

    Sending the same again sends nothing: it is the same job.

    A JSONL file of ready-made requests, in the form of OpenAI's Batch API, is sent as it is.
    """
    # It loads what works with tables, half a second.
    from tidyllm.cli import batch_send  # noqa: PLC0415 - for that reason

    with _told_if_stopped(_SEND_AGAIN):
        order = batch_send.Order(
            file=file,
            model=model_from(model, base_url=base_url, api=api, params=param or ()),
            prompt=prompt,
            system=system,
            schema=schema,
            options={
                "name": name,
                "embed": embed,
                "prefix": prefix,
                "budget": budget,
                "queue_tokens": queue_tokens,
                "adopt": adopt,
            },
        )
        if dry_run:
            batch_send.dry_run(order)
        else:
            batch_send.tell_job(batch_send.send(order)[0])


@app.command()
def run(  # noqa: PLR0913 - one option each
    file: File,
    *,
    out: Out = None,
    model: Asked = _LOCAL,
    prompt: Prompt = None,
    system: System = None,
    schema: SchemaFile = None,
    name: Name = None,
    embed: Embed = None,
    budget: Budget = None,
    queue_tokens: QueueTokens = None,
    prefix: Prefix = "",
    api: Api = None,
    base_url: BaseUrl = None,
    param: Param = None,
    adopt: Adopt = None,
) -> None:
    """Send a table, wait for its batch, and fetch the rows with their answers: `send`, `wait` and `fetch` in one.

    Stopped or killed, the same line goes on, and sends nothing twice.

    The results of ready-made requests are written beside FILE as the provider has them, unless there is --out.
    """
    # It loads what works with tables, half a second.
    from tidyllm.cli import batch_send  # noqa: PLC0415 - for that reason

    with _told_if_stopped(_SEND_AGAIN):
        batch_send.refuse_out(out, file=file)
        order = batch_send.Order(
            file=file,
            model=model_from(model, base_url=base_url, api=api, params=param or ()),
            prompt=prompt,
            system=system,
            schema=schema,
            options={
                "name": name,
                "embed": embed,
                "prefix": prefix,
                "budget": budget,
                "queue_tokens": queue_tokens,
                "adopt": adopt,
            },
        )
        _run(order, out)


@app.command("list")
def list_(
    *,
    model: Asked = _LOCAL,
    base_url: BaseUrl = None,
    limit: Annotated[int | None, typer.Option(help="Only the newest so many.")] = None,
) -> None:
    """List a provider's batches, newest first."""
    show(tl.list_batches(model_from(model, base_url=base_url), limit=limit).to_dicts(), columns=_BATCH_COLUMNS)


@app.command()
def check(job: JobName, *, model: Provider = None, base_url: BaseUrl = None) -> None:
    """Say how a job's batches stand."""
    show(tl.check_batch(job, whom(model, base_url=base_url)).to_dicts(), columns=_BATCH_COLUMNS)


@app.command()
def wait(job: JobName, *, model: Provider = None, base_url: BaseUrl = None) -> None:
    """Wait until a job's batches have ended, and say how. Ctrl-C ends the waiting, never the job."""
    with _told_if_stopped(f"The batch goes on without us: tidyllm batch wait {job} waits again."):
        show(tl.wait_batch(job, whom(model, base_url=base_url)).to_dicts(), columns=_BATCH_COLUMNS)


@app.command()
def fetch(
    job: JobName,
    *,
    out: Out = None,
    model: Provider = None,
    base_url: BaseUrl = None,
    partial: Annotated[bool, typer.Option("--partial", help="Fetch what there is while the batch runs.")] = False,
) -> None:
    """Fetch the rows of a job with their answers; how many became what is said on the error output.

    Every row is there, whatever became of it, as its column `llm_status` says.
    """
    # It loads what works with tables, half a second.
    from tidyllm.cli import batch_send  # noqa: PLC0415 - for that reason

    batch_send.refuse_out(out)
    batch_send.fetch(job, model=whom(model, base_url=base_url), partial=partial, out=out)


@app.command()
def cancel(job: JobName, *, model: Provider = None, base_url: BaseUrl = None) -> None:
    """Ask a job's batches to stop, and say how they stand; what is answered can be fetched."""
    show(tl.cancel_batch(job, whom(model, base_url=base_url)).to_dicts(), columns=_BATCH_COLUMNS)


@app.command()
def retry(job: JobName, *, model: Provider = None, base_url: BaseUrl = None) -> None:
    """Send again what of a job has failed, expired or was cancelled, into the same job, and print its name."""
    # It loads what works with tables, half a second.
    from tidyllm.cli import batch_send  # noqa: PLC0415 - for that reason

    with _told_if_stopped(_SEND_AGAIN):
        batch_send.tell_job(tl.retry_batch(job, whom(model, base_url=base_url)))


@app.command()
def delete(job: JobName, *, model: Provider = None, base_url: BaseUrl = None) -> None:
    """Have the provider forget a job's batches and their results, and print their ids; what was fetched stays here."""
    ids = tl.delete_batch(job, whom(model, base_url=base_url))
    show([{"batch_id": one} for one in ids], columns=("batch_id",))


def _run(order: "Order", out: Path | None) -> None:
    # It loads what works with tables, half a second.
    from tidyllm.cli import batch_send  # noqa: PLC0415 - for that reason

    job, ready_made = batch_send.send(order)
    tl.wait_batch(job, order.model)
    if ready_made and out is None:
        batch_send.save_results(job, order.file)
    else:
        batch_send.fetch(job, model=order.model, partial=False, out=out)


@contextmanager
def _told_if_stopped(way_on: str) -> Iterator[None]:
    """Have whoever stops the block by Ctrl-C be told how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        typer.echo(f"stopped: {way_on}", err=True)
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from stop
