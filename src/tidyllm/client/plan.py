"""A job before it is sent: what it is made of, everything that can be wrong with it, and what would go out."""

from collections.abc import Iterator
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from tidyllm.client.calls import first_request, shown
from tidyllm.client.disk import replacing, write_durably
from tidyllm.client.jobs import JobFolder, JobRecord, Remote, canonical, job_folder, job_key, refuse_change
from tidyllm.client.rows import asker, row_ids
from tidyllm.client.targets import batch_chat_of, batches_of, files_of, name_of
from tidyllm.core.clock import Clock
from tidyllm.core.errors import SettingError
from tidyllm.core.schema import Schema
from tidyllm.core.wire import Request
from tidyllm.dialect import BatchOrder
from tidyllm.provider import Model

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

    from tidyllm.client.frame import Table

PURPOSE = "batch"
"""What the input file is uploaded for, in OpenAI's word."""
TOKEN_NOTE = "tidyllm_token"  # noqa: S105 - the name of a note, no secret
JOB_NOTE = "tidyllm_job"
_TOKEN_UNMADE = "(made when it is sent)"  # noqa: S105 - what stands in its place
_LINES_SHOWN = 3


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `send_batch` would do; nothing was sent or written."""

    name: str
    """Of the job."""
    model: Model
    rows: int
    """Requests."""
    bytes: int
    """Size of the input file."""
    first_lines: tuple[str, ...]
    """How the input file begins."""
    upload: Request | None
    """Sends the input file; null where an earlier attempt has sent it."""
    create: Request | None
    """Starts the batch; null where it exists. The file's id and the token are known only when it is sent."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A job in memory."""

    name: str
    model: Model
    table: "Table"
    lines: list[bytes]
    """The requests, each with its line end."""
    parts: dict[str, str]


def prepare(
    data: "list[str] | IntoDataFrame",
    model: Model,
    *,
    prompt: str | None,
    system: str | None,
    name: str | None,
    schema: Schema | None = None,
) -> Prepared:
    """Return the job that a table makes; sends and writes nothing. Raises SettingError for what is wrong with it."""
    # Imported here, because it loads polars.
    from tidyllm.client.frame import read_table  # noqa: PLC0415

    batches_of(model)
    files_of(model)
    chat = batch_chat_of(model)
    table = read_table(data)
    if table.height == 0:
        raise SettingError("The table has no rows: there is nothing to send.")
    lines = list(_limited(_lines(table, model, prompt=prompt, system=system, schema=schema), model))
    parts: dict[str, object] = {
        "provider": model.provider.name,
        "base_url": model.base_url,
        "model": model.chat_name,
        "path": chat.path,
        "parameters": model.params,
        "prompt": prompt,
        "system": system,
        "schema": None if schema is None else schema.canonical(),
        "columns": table.columns,
        "rows": table.height,
        "data": table.digest(),
    }
    # What is not asked for is left out, so that a part that is added one day leaves the keys of old jobs as they are.
    written = {part: canonical(value) for part, value in parts.items() if value is not None}
    folder = job_folder(name or f"{model.provider.name}-{job_key(written)[:16]}")
    return Prepared(name=folder.name, model=model, table=table, lines=lines, parts=written)


def plan(prepared: Prepared) -> Plan:
    """Return what sending would do, with the values of the user's own headers left out.

    Raises JobChangedError if a job of that name has other content.
    """
    model, folder = prepared.model, job_folder(prepared.name)
    record = folder.read() if folder.exists else _intent(prepared, created_at=0.0, token=_TOKEN_UNMADE)
    refuse_change(record, prepared.parts)
    site = shown(model).site
    remote = record.remotes[0]
    file_id = remote.input_file_id or "(id of the uploaded file)"
    upload = files_of(model).upload(site, folder.requests, purpose=PURPOSE)
    create = batches_of(model).create(site, order_of(record, model, input_file_id=file_id))
    return Plan(
        name=prepared.name,
        model=model,
        rows=len(prepared.lines),
        bytes=sum(map(len, prepared.lines)),
        first_lines=tuple(line.decode().rstrip("\n") for line in prepared.lines[:_LINES_SHOWN]),
        upload=first_request(upload) if remote.input_file_id is None else None,
        create=first_request(create) if remote.batch is None else None,
    )


def keep(prepared: Prepared, clock: Clock) -> JobFolder:
    """Return the job's folder, with all that is to be sent written down before any of it is.

    Raises JobChangedError if a job of that name has other content, JobLockedError if it is being worked on.
    """
    folder = job_folder(prepared.name)
    with folder.locked():
        if folder.exists:
            refuse_change(folder.read(), prepared.parts)
            return folder
        with replacing(folder.rows) as part:
            prepared.table.save(part, row_ids(prepared.table.height))
        write_durably(folder.requests, prepared.lines)
        folder.write(_intent(prepared, created_at=clock.now(), token=token_hex(16)))
    return folder


def order_of(record: JobRecord, model: Model, *, input_file_id: str) -> BatchOrder:
    """Return what the job's batch is made of, with the token by which it can be found again."""
    notes = {JOB_NOTE: record.name, TOKEN_NOTE: record.remotes[0].token}
    return BatchOrder(input_file_id=input_file_id, path=batch_chat_of(model).path, metadata=notes)


def _lines(
    table: "Table", model: Model, *, prompt: str | None, system: str | None, schema: Schema | None
) -> Iterator[bytes]:
    name, chat, batches = name_of(model), batch_chat_of(model), batches_of(model)
    ask = asker(prompt, system, columns=table.columns)
    for custom_id, conversation in zip(row_ids(table.height), ask(table.rows()), strict=True):
        body = chat.body(name, conversation, params=model.params, schema=schema)
        yield batches.line(custom_id, path=chat.path, body=body) + b"\n"


def _limited(lines: Iterator[bytes], model: Model) -> Iterator[bytes]:
    """Pass the lines on while they fit into one batch of the provider; raise SettingError when they no longer do."""
    limits = model.provider.batch_limits
    total = 0
    for number, line in enumerate(lines, 1):
        total += len(line)
        if limits is not None and number > limits.requests_max:
            raise SettingError(
                f"{model.provider.name} takes {limits.requests_max:,} rows a batch: send fewer at a time."
            )
        if limits is not None and total > limits.input_bytes_max:
            raise SettingError(
                f"{model.provider.name} takes {limits.input_bytes_max:,} bytes a batch, which row {number:,} passes: "
                "send fewer rows at a time."
            )
        yield line


def _intent(prepared: Prepared, *, created_at: float, token: str) -> JobRecord:
    return JobRecord(
        name=prepared.name,
        key=job_key(prepared.parts),
        parts=prepared.parts,
        provider=prepared.model.provider.name,
        base_url=prepared.model.base_url,
        model=prepared.model.chat_name,
        kind=prepared.table.kind,
        created_at=created_at,
        remotes=(Remote(token=token, requests=len(prepared.lines)),),
    )
