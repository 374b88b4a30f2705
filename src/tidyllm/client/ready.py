"""Files of ready-made requests, in the form that OpenAI's Batch API takes: sent as they are, as jobs without rows."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from tidyllm.client import requests
from tidyllm.client.batch_order import cuts_of
from tidyllm.client.calls import transport_for
from tidyllm.client.capabilities import batches_of, files_of
from tidyllm.client.changed import refuse_change
from tidyllm.client.estimate import estimated
from tidyllm.client.jobs import (
    Job,
    JobFolder,
    JobRecord,
    OpenJob,
    Remote,
    canonical,
    job_folder,
    job_key,
)
from tidyllm.client.plan import Plan, measured, plan_of, said_again
from tidyllm.client.send import send
from tidyllm.client.send_options import SendSettings
from tidyllm.client.table_files import TableFile
from tidyllm.core.clock import Clock
from tidyllm.core.errors import SettingError
from tidyllm.core.jsonl import read_lines
from tidyllm.provider import Model
from tidyllm.transport.drive import drive

_FIELDS = frozenset({"custom_id", "method", "url", "body"})


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of such a file."""

    custom_id: str
    method: Literal["POST"]
    url: str
    body: dict[str, object]


class _First(msgspec.Struct, frozen=True, kw_only=True):
    """What the requests of a file have in common, and its hash."""

    url: str
    model: str
    digest: str


def is_ready(file: TableFile) -> bool:
    """Whether a file holds requests and no table, as its first line tells."""
    if file.end != ".jsonl":
        return False
    with file.open() as data:
        first = next(read_lines(data), None)
    try:
        return first is not None and msgspec.json.decode(first.data, type=dict[str, msgspec.Raw]).keys() >= _FIELDS
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A file of requests that was looked through: the job that it makes."""

    file: TableFile
    model: Model
    name: str
    """Of the job."""
    parts: dict[str, str]
    settings: SendSettings


def prepare_ready(file: TableFile, model: Model, *, settings: SendSettings) -> Ready:
    """Return the job that a file of requests makes; sends and writes nothing.

    Raises SettingError for what is no such request, and for a provider or an endpoint that takes none of that form.
    """
    if model.name is not None:
        raise SettingError(f"{file.name} holds ready-made requests, which name their model: say {model.provider.name}.")
    if batches_of(model).uploads:
        files_of(model)
    first = _checked(file, model)
    chat = next((chat for chat in model.provider.batch_chats if chat.path == first.url), None)
    parts = {
        "provider": model.provider.name,
        "base_url": model.base_url,
        "model": first.model,
        "path": first.url,
        "requests": first.digest,
    }
    written = {part: canonical(value) for part, value in parts.items()}
    return Ready(
        file=file,
        model=msgspec.structs.replace(model, name=first.model, api=None if chat is None else chat.api),
        name=settings.name or f"{model.provider.name}-{job_key(written)[:16]}",
        parts=written,
        settings=settings,
    )


def send_ready(ready: Ready) -> Job:
    """Send the requests of a file as a batch, or as several where it holds more than one may, and return the job.

    They are sent byte for byte. The same file again is the same job, as `send_batch` has it, which says what is raised.
    """
    transport = transport_for(ready.model)
    folder = _kept(ready, clock=transport.clock)
    return drive(send(folder, ready.model, clock=transport.clock, adopt=ready.settings.adopt), transport)


def plan_ready(ready: Ready) -> Plan:
    """Return what sending would do. Raises JobChangedError if a job of that name has other content."""
    folder = job_folder(ready.name)
    cuts, first_lines = measured(_cuts(ready, folder))
    guess = estimated(
        ready.model,
        rows=sum(one.requests for one in cuts),
        size=sum(one.size for one in cuts),
        embeds=ready.model.api is None,
    )
    if folder.exists:
        record = folder.read()
        refuse_change(record, ready.parts)
    else:
        record = _record(ready, [one.remote(inline=False, again=False) for one in cuts], created_at=0.0)
    return plan_of(OpenJob(folder=folder, record=record, model=ready.model), guess, first_lines=first_lines)


def _checked(file: TableFile, model: Model) -> _First:
    """Return what a file is about. Raises SettingError, with the line, for the first thing that is wrong with it."""
    digest, ids = hashlib.sha256(), set[str]()
    first: _Line | None = None
    for number, data in _lines(file):
        place = f"{file.name}, line {number}"
        try:
            line = msgspec.json.decode(data, type=_Line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
            raise SettingError(f"{place} is no request of a batch: {fault}.") from fault
        if first is None:
            first = line
            _refuse_form(line, data, model=model, place=place)
        if line.url != first.url:
            raise SettingError(f"{place} asks {line.url}, and the first one {first.url}: a batch asks one endpoint.")
        if line.custom_id in ids:
            raise SettingError(f"{place} has the custom_id {line.custom_id!r} of an earlier one: give each its own.")
        if not isinstance(line.body.get("model"), str):
            raise SettingError(f"{place} names no model in its body.")
        ids.add(line.custom_id)
        digest.update(data + b"\n")
    assert first is not None  # noqa: S101 - whoever asks has seen its first line
    return _First(url=first.url, model=str(first.body["model"]), digest=digest.hexdigest())


def _refuse_form(line: _Line, data: bytes, *, model: Model, place: str) -> None:
    """Raise SettingError where a provider's batches have requests of another form, or none for that endpoint."""
    provider, batches = model.provider, batches_of(model)
    paths = [chat.path for chat in provider.batch_chats]
    if provider.batch_embed_path is not None:
        paths.append(provider.batch_embed_path)
    if line.url not in paths:
        raise SettingError(f"{place} asks {line.url}; batches of {provider.name} ask {', '.join(paths)}.")
    # Where there is no `input`, a form that is for texts alone has nothing to show.
    body = {"input": "", **line.body}
    own = batches.line(line.custom_id, path=line.url, body=body, inline=not batches.uploads)
    if msgspec.json.decode(own).keys() != msgspec.json.decode(data).keys():
        raise SettingError(
            f"{place} is a request as OpenAI's batches have them, and those of {provider.name} look otherwise: send a "
            "table, and say by --prompt what to ask of each row."
        )


def _kept(ready: Ready, *, clock: Clock) -> JobFolder:
    """Return the job's folder, with the requests written down before any of them is sent."""
    folder = job_folder(ready.name)
    with folder.locked():
        if folder.exists:
            record = folder.read()
            refuse_change(record, ready.parts)
            said_again(OpenJob(folder=folder, record=record, model=ready.model), ready.settings)
            return folder
        with folder.usable():
            requests.clear(folder)
            remotes = [one.remote(inline=False, again=False) for one in requests.write(_cuts(ready, folder))]
        folder.write(_record(ready, remotes, created_at=clock.now()))
    return folder


def _cuts(ready: Ready, folder: JobFolder) -> requests.Cuts:
    job = OpenJob(folder=folder, record=_record(ready, [], created_at=0.0), model=ready.model)
    return cuts_of(job, _lines(ready.file), inline=False, queue_tokens=ready.settings.queue_tokens)


def _record(ready: Ready, remotes: list[Remote], *, created_at: float) -> JobRecord:
    model = ready.model
    return JobRecord(
        name=ready.name,
        key=job_key(ready.parts),
        parts=ready.parts,
        provider=model.provider.name,
        base_url=model.base_url,
        model=model.name,
        kind=None,
        created_at=created_at,
        remotes=tuple(remotes),
        api=model.api,
        embeds="" if model.api is None else None,
        queue_tokens=ready.settings.queue_tokens,
    )


def result_files(job: Job) -> Iterator[Path]:
    """Yield the files of a job's results as the provider wrote them, those that were fetched."""
    for batch_id in job.batch_ids:
        yield from sorted(JobFolder(job.folder).raw(batch_id).glob("*.jsonl"))


def _lines(file: TableFile) -> Iterator[tuple[int, bytes]]:
    with file.open() as data:
        for line in read_lines(data):
            yield line.number, line.data
