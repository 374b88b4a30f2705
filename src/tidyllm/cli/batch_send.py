"""What the commands of `tidyllm batch` have in common: from a file to a job, and from a job to a file.

It loads what works with tables, half a second: the commands import it when they run.
"""

import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

import tidyllm as tl
from tidyllm.cli.shown import show
from tidyllm.client.ready import Ready, is_ready, plan_ready, prepare_ready, result_files, send_ready
from tidyllm.client.send_options import SendOptions, send_settings
from tidyllm.client.table_files import TableFile, end_of, fetched_table, json_lines, read_file, write_file
from tidyllm.core.errors import SettingError

if TYPE_CHECKING:
    from tidyllm.client.jobs import Job
    from tidyllm.client.plan import Plan
    from tidyllm.provider import Model

STANDARD_INPUT = "-"
_PROMPT = "prompt"
"""The column that is asked where nothing else is said."""
_STATUS = "llm_status"
_PLAN = ("name", "rows", "batches", "bytes", "tokens_in", "cost_in")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be sent, and how."""

    file: str
    model: "Model"
    prompt: str | None
    system: str | None
    schema: Path | None
    options: SendOptions


def file_of(name: str) -> TableFile:
    """Return the file of that name, or what comes on standard input, which is JSONL.

    Raises SettingError for a file that there is not, or of another form.
    """
    if name == STANDARD_INPUT:
        return TableFile(name="Standard input", end=".jsonl", content=sys.stdin.buffer.read())
    file = TableFile(name=name, end=end_of(name), content=Path(name))
    file.open().close()
    return file


def dry_run(order: Order) -> None:
    """Print what would be sent, and send nothing."""
    file = file_of(order.file)
    if is_ready(file):
        _show_plan(plan_ready(_ready(order, file)))
    else:
        _show_plan(tl.send_batch(**_said(order, file), dry_run=True))  # type: ignore[call-overload]


def send(order: Order) -> "tuple[Job, bool]":
    """Send a file, and return its job and whether its requests were ready-made."""
    file = file_of(order.file)
    if is_ready(file):
        return send_ready(_ready(order, file)), True
    return tl.send_batch(**_said(order, file)), False  # type: ignore[call-overload]


def tell_job(job: "Job") -> None:
    """Print a job's name alone, for whoever goes on with it, and on the error output what it is."""
    count = f"{job.rows:,} rows in {_many(len(job.batch_ids), one='batch', several='batches')}"
    typer.echo(f"{count}, {', '.join(job.batch_ids)}: tidyllm batch wait {job.name}", err=True)
    typer.echo(job.name)


def refuse_out(out: Path | None, *, file: str | None = None) -> None:
    """Raise SettingError for a place where no table can be written, before anything is sent."""
    if out is None:
        return
    end_of(out.name)
    if not out.parent.is_dir():
        raise SettingError(f"There is no folder {out.parent} to write {out.name} into.")
    if file is not None and out.absolute() == Path(file).absolute():
        raise SettingError(f"{file} is what is sent: give --out another name.")


def fetch(job: "Job | str", *, model: "Model | None", partial: bool, out: Path | None) -> None:
    """Write the rows of a job with their answers into a file, or print them as JSONL; tell what became of them."""
    name = job if isinstance(job, str) else job.name
    table = fetched_table(tl.fetch_batch(job, model, partial=partial), name=name)
    if out is not None:
        write_file(table, out)
    else:
        for line in json_lines(table):
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    # Ours is the last: the columns of answers stand after the user's, with whatever their names begin.
    status = next(column for column in reversed(table.columns) if column.endswith(_STATUS))
    told = Counter(table.get_column(status).to_list())
    words = ", ".join(f"{count:,} {word or 'not asked'}" for word, count in told.most_common())
    typer.echo(
        f"{_many(table.height, one='row', several='rows')}: {words or 'none'}" + (f"; {out}" if out else ""), err=True
    )


def save_results(job: "Job", file: str) -> None:
    """Write the result files of ready-made requests beside the file of these, as the provider wrote them."""
    tl.fetch_batch(job)
    beside = Path(f"{job.name}.jsonl" if file == STANDARD_INPUT else file)
    parts: dict[str, list[Path]] = {}
    for path in result_files(job):
        parts.setdefault(path.name, []).append(path)
    for name, paths in parts.items():
        out = beside.with_name(f"{beside.stem}.{name}")
        _join(paths, out)
        with out.open("rb") as lines:
            count = sum(1 for _ in lines)
        typer.echo(f"{out}: {count:,} of {_many(job.rows, one='request', several='requests')}", err=True)


def _join(paths: list[Path], out: Path) -> None:
    try:
        with out.open("wb") as whole:
            for path in paths:
                with path.open("rb") as part:
                    shutil.copyfileobj(part, whole)
    except OSError as fault:
        raise SettingError(f"{out} cannot be written: {fault.strerror}.") from fault


def _said(order: Order, file: TableFile) -> dict[str, object]:
    table, prompt = read_file(file), order.prompt
    if prompt is None and order.options.get("embed") is None:
        if _PROMPT not in table.columns:
            raise SettingError(
                f"{file.name} has no column {_PROMPT!r}: say what to ask of each row, as in --prompt "
                f"'Explain: {{{table.columns[0]}}}'. The columns are: {', '.join(table.columns)}."
            )
        prompt = f"{{{_PROMPT}}}"
    schema = None if order.schema is None else _schema(order.schema)
    return {
        "data": table,
        "model": order.model,
        "prompt": prompt,
        "system": order.system,
        "schema": schema,
        **order.options,
    }


def _schema(path: Path) -> dict[str, object]:
    try:
        schema: dict[str, object] = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except OSError as fault:
        raise SettingError(f"{path} cannot be read: {fault.strerror}.") from fault
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise SettingError(f"{path} is no JSON Schema: {fault}.") from fault
    return schema


def _ready(order: Order, file: TableFile) -> Ready:
    """Return the job of ready-made requests. Raises SettingError where they are told what they say themselves."""
    options = order.options
    told = {
        "prompt": order.prompt is not None,
        "system": order.system is not None,
        "schema": order.schema is not None,
        "embed": options.get("embed") is not None,
        # How long the answers may be, each request says for itself.
        "budget": options.get("budget") is not None,
        "prefix": bool(options.get("prefix")),
        "param": order.model.params != type(order.model.params)(),
        "api": order.model.api is not None,
    }
    for name, given in told.items():
        if given:
            raise SettingError(f"--{name} does not go with {file.name}: its requests are ready-made, sent as they are.")
    return prepare_ready(file, order.model, settings=send_settings(options))


def _show_plan(plan: "Plan") -> None:
    requests = {"upload": plan.upload, "create": plan.create}
    told: dict[str, object] = {name: getattr(plan, name) for name in _PLAN}
    told["first_lines"] = plan.first_lines
    told |= {name: None if one is None else f"{one.method} {one.url}" for name, one in requests.items()}
    show([told], columns=_PLAN)
    if sys.stdout.isatty():
        for line in plan.first_lines:
            typer.echo(line)


def _many(count: int, *, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"
