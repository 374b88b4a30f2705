"""A job before it is sent: what it is made of, everything that can be wrong with it, and what would go out."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from tidyllm.client import asked_rows, requests
from tidyllm.client.asked_rows import Asked, rows_asked, talks_asked, texts_asked
from tidyllm.client.batch_order import PURPOSE, cuts_of, order_of
from tidyllm.client.calls import first_request, shown
from tidyllm.client.capabilities import asked_name_of, batch_chat_of, batches_of, files_of
from tidyllm.client.changed import refuse_change
from tidyllm.client.disk import replacing
from tidyllm.client.estimate import Estimate, estimated, refuse_beyond
from tidyllm.client.jobs import JobFolder, JobRecord, OpenJob, Remote, canonical, job_folder, job_key
from tidyllm.client.rows import Prompt
from tidyllm.client.send_options import SendSettings
from tidyllm.client.table_talks import Asks
from tidyllm.core.clock import Clock
from tidyllm.core.errors import SettingError
from tidyllm.core.message import Conversation
from tidyllm.core.schema import Schema
from tidyllm.core.wire import Request
from tidyllm.provider import Model

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

_LINES_SHOWN = 3
"""So many requests a dry run shows."""
_ID_UNMADE = "(id of the uploaded file)"
"""What stands in its place before there is one."""
_NO_TEXT = "No row of the table has a text: there is nothing to send."
_IDS = "row"
_MARK_BYTES = 6
_TOKEN_UNMADE = "(made when it is sent)"  # noqa: S105 - what stands in its place


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `send_batch` would do; nothing was sent or written."""

    name: str
    """Of the job."""
    model: Model
    rows: int
    """Requests."""
    batches: int
    """How many batches of the provider's they make."""
    bytes: int
    """Size of the files of requests."""
    tokens_in: int
    """Of the prompts, about, at four bytes each."""
    cost_in: float | None
    """What these cost at the price of batches, in US dollars, without the answers; null where no price is known."""
    first_lines: tuple[str, ...]
    """How the first file begins."""
    upload: Request | None
    """Sends the first file; null where an earlier attempt has sent it, and where it is sent with the batch."""
    create: Request | None
    """Starts the first batch; null where it exists. The file's id and the token are known only when it is sent."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A job in memory."""

    name: str
    model: Model
    asked: Asked
    schema: Schema | None
    settings: SendSettings
    parts: dict[str, str]
    ids: str
    """What the ids of its requests begin with."""


def prepare(
    data: "Sequence[str | Conversation] | IntoDataFrame",
    model: Model,
    *,
    prompt: Prompt,
    system: str | None,
    schema: Schema | None,
    settings: SendSettings,
) -> Prepared:
    """Return the job that a table or a list makes; sends and writes nothing.

    Raises SettingError for what is wrong with it as a whole; with a single row, when that is written.
    """
    batches = batches_of(model)
    if batches.uploads:
        files_of(model)
    if settings.adopt is not None and batches.keeps_notes:
        raise SettingError(f"adopt= is not for {model.provider.name}, which knows a batch by the job's own note.")
    asked = _asked(data, model, prompt=prompt, system=system, schema=schema, settings=settings)
    parts: dict[str, object] = {
        "provider": model.provider.name,
        "base_url": model.base_url,
        "model": asked_name_of(model, embeds=settings.embed is not None),
        "path": asked.path,
        "parameters": model.params,
        "schema": None if schema is None else schema.canonical(),
        "rows": asked.height,
        **asked.parts,
    }
    # What is not asked for is left out, so that a part that is added one day leaves the keys of old jobs as they are.
    written = {part: canonical(value) for part, value in parts.items() if value is not None}
    folder = job_folder(settings.name or f"{model.provider.name}-{job_key(written)[:16]}")
    return Prepared(
        name=folder.name,
        model=model,
        asked=asked,
        schema=schema,
        settings=settings,
        parts=written,
        # Where a batch is known by its requests alone, these say whose they are.
        ids=_IDS if batches.keeps_notes else token_hex(_MARK_BYTES),
    )


def plan(prepared: Prepared) -> Plan:
    """Return what sending would do, with the values of the user's own headers left out.

    Raises JobChangedError if a job of that name has other content; SettingError for a row that cannot be sent, and
    where it may cost more than its budget.
    """
    folder = job_folder(prepared.name)
    inline = _is_inline(prepared, folder)
    cuts, first_lines = measured(_cuts(prepared, folder, inline=inline))
    guess = _guess(prepared, cuts)
    if folder.exists:
        record = folder.read()
        _refuse_change(prepared, folder, record=record)
    else:
        record = _record(prepared, [one.remote(inline=inline, again=False) for one in cuts], created_at=0.0)
    job = OpenJob(folder=folder, record=record, model=prepared.model)
    return plan_of(job, guess, first_lines=first_lines)


def plan_of(job: OpenJob, guess: Estimate, *, first_lines: tuple[str, ...]) -> Plan:
    """Return what sending a job would do that was kept, or would be."""
    remote, model = job.record.remotes[0], shown(job.model)
    if not job.folder.exists:
        remote = msgspec.structs.replace(remote, token=_TOKEN_UNMADE)
    order = order_of(
        msgspec.structs.replace(job, model=model),
        remote,
        input_file_id=None if remote.inline else remote.input_file_id or _ID_UNMADE,
    )
    upload = create = None
    if not remote.inline and remote.input_file_id is None:
        upload = first_request(files_of(model).upload(model.site, order.requests, purpose=PURPOSE))
    if remote.batch is None:
        create = first_request(batches_of(model).create(model.site, order))
    return Plan(
        name=job.record.name,
        model=job.model,
        rows=guess.rows,
        batches=len(job.record.remotes),
        bytes=guess.bytes,
        tokens_in=guess.tokens_in,
        cost_in=guess.cost_in,
        first_lines=first_lines,
        upload=upload,
        create=create,
    )


def measured(cuts: requests.Cuts) -> tuple[list[requests.Cut], tuple[str, ...]]:
    """Return the batches that there will be, and how the first one begins; writes nothing."""
    found: list[requests.Cut] = []
    first_lines: list[bytes] = []
    for one, line in cuts:
        if not found or found[-1] is not one:
            found.append(one)
        if len(first_lines) < _LINES_SHOWN:
            first_lines.append(line)
    return found, tuple(line.decode() for line in first_lines)


def keep(prepared: Prepared, clock: Clock) -> JobFolder:
    """Return the job's folder, with all that is to be sent written down before any of it is.

    Raises JobChangedError if a job of that name has other content, JobLockedError if it is being worked on;
    SettingError for a row that cannot be sent, and where it may cost more than its budget.
    """
    folder = job_folder(prepared.name)
    if not folder.exists:
        _refuse_wrong(prepared, folder)
    with folder.locked():
        if folder.exists:
            record = folder.read()
            _refuse_change(prepared, folder, record=record)
            _refuse_rest(prepared, folder, record=record)
            said_again(OpenJob(folder=folder, record=record, model=prepared.model), prepared.settings)
            if not folder.rows.exists():
                _save_rows(prepared, folder, ids=record.ids)
            return folder
        inline = _is_inline(prepared, folder)
        with folder.usable():
            requests.clear(folder)
            cuts = requests.write(_cuts(prepared, folder, inline=inline))
        _save_rows(prepared, folder, ids=prepared.ids)
        remotes = [one.remote(inline=inline, again=False) for one in cuts]
        folder.write(_record(prepared, remotes, created_at=clock.now()))
    return folder


def _refuse_change(prepared: Prepared, folder: JobFolder, *, record: JobRecord) -> None:
    refuse_change(record, prepared.parts, where=lambda: prepared.asked.differs(folder.rows, record))


def said_again(job: OpenJob, settings: SendSettings) -> None:
    """Write down what may be said anew when a job is sent again: what was said last holds, for what was not sent yet.

    Where less may wait than before, what was not sent is cut anew. Raises SettingError for a row that is more than may.
    """
    folder, most = job.folder, settings.queue_tokens
    # What the answers' columns are called is nothing that was sent.
    record = msgspec.structs.replace(job.record, prefix=settings.prefix)
    if most is not None and most != record.queue_tokens:
        with folder.usable():
            remotes = tuple(chain.from_iterable(_cut_anew(job, remote, most=most) for remote in record.remotes))
        record = msgspec.structs.replace(record, queue_tokens=most, remotes=remotes)
    if record != job.record:
        folder.write(record)


def _cut_anew(job: OpenJob, remote: Remote, *, most: int) -> Iterator[Remote]:
    """Yield a batch as it is, or as several where it has more tokens than may wait, and was surely not sent."""
    if remote.batch is not None or remote.tried_at is not None or remote.tokens <= most:
        yield remote
        return
    numbered = requests.numbered(job.folder, remote)
    for one in requests.write(cuts_of(job, numbered, inline=remote.inline, queue_tokens=most)):
        anew = one.remote(inline=remote.inline, again=remote.again)
        yield msgspec.structs.replace(anew, refused=remote.refused)


def _save_rows(prepared: Prepared, folder: JobFolder, *, ids: str) -> None:
    with folder.usable(), replacing(folder.rows) as part:
        prepared.asked.save(part, [f"{ids}-{number}" for number in range(1, prepared.asked.height + 1)])


def _asked(
    data: object, model: Model, *, prompt: Prompt, system: str | None, schema: Schema | None, settings: SendSettings
) -> Asked:
    given = {"prompt": prompt, "system": system, "media": settings.media, "schema": schema}
    if settings.embed is not None:
        _refuse(given, why="embed= asks for vectors")
        return texts_asked(data, model, column=settings.embed, prefix=settings.prefix)  # type: ignore[arg-type]
    if isinstance(data, list) and any(isinstance(one, Conversation) for one in data):
        _refuse(
            {name: given[name] for name in ("prompt", "system", "media")},
            why="conversations say themselves what is asked",
        )
        return talks_asked(data, model, schema=schema)
    asks = Asks(prompt=prompt, system=system, media=settings.media)
    return rows_asked(data, model, asks=asks, schema=schema, prefix=settings.prefix)  # type: ignore[arg-type]


def _refuse(given: Mapping[str, object], *, why: str) -> None:
    for name, value in given.items():
        if value is not None:
            raise SettingError(f"{name}= does not go with this: {why}.")


def _is_inline(prepared: Prepared, folder: JobFolder) -> bool:
    """Whether the requests are sent in the request that starts the batch: always, or because they are few."""
    batches = batches_of(prepared.model)
    if not batches.inline_bytes_max:
        return False
    if not batches.uploads:
        return True
    try:
        first = None
        for one, _ in _cuts(prepared, folder, inline=True):
            first = first or one
            if one is not first:
                return False
    except SettingError:
        # A row that is too long for this way; one that is wrong is told of when the other way is gone.
        return False
    return True


def _cuts(prepared: Prepared, folder: JobFolder, *, inline: bool) -> requests.Cuts:
    job = OpenJob(folder=folder, record=_record(prepared, [], created_at=0.0), model=prepared.model)
    numbered = asked_rows.lines(prepared.asked, prepared.model, ids=prepared.ids, inline=inline)
    return cuts_of(job, numbered, inline=inline, queue_tokens=prepared.settings.queue_tokens)


def _refuse_wrong(prepared: Prepared, folder: JobFolder) -> None:
    """Raise SettingError for what is wrong with a row, or costs too much, before anything is written.

    Where there is no budget only what rows say is looked at, as making the requests takes much longer.
    """
    if prepared.settings.budget is not None:
        _guess(prepared, measured(_cuts(prepared, folder, inline=_is_inline(prepared, folder)))[0])
        return
    for _ in prepared.asked.talks():
        pass
    if next(iter(prepared.asked.bodies()), None) is None:
        raise SettingError(_NO_TEXT)


def _refuse_rest(prepared: Prepared, folder: JobFolder, *, record: JobRecord) -> None:
    """Raise SettingError where a job of which a part is yet to be sent might cost more than is said now."""
    if prepared.settings.budget is None or record.cancelled or all(one.batch is not None for one in record.remotes):
        return
    with folder.usable():
        size = sum((folder.path / one.file).stat().st_size for one in record.remotes if not one.again)
    embeds = prepared.settings.embed is not None
    guess = estimated(prepared.model, rows=record.requests, size=size, embeds=embeds)
    refuse_beyond(prepared.settings.budget, guess, model=prepared.model)


def _guess(prepared: Prepared, cuts: list[requests.Cut]) -> Estimate:
    """Return what it comes to. Raises SettingError where there is nothing to send, and where it may cost too much."""
    if not cuts:
        raise SettingError(_NO_TEXT)
    guess = estimated(
        prepared.model,
        rows=sum(one.requests for one in cuts),
        size=sum(one.size for one in cuts),
        embeds=prepared.settings.embed is not None,
    )
    refuse_beyond(prepared.settings.budget, guess, model=prepared.model)
    return guess


def _record(prepared: Prepared, remotes: list[Remote], *, created_at: float) -> JobRecord:
    model, embeds = prepared.model, prepared.settings.embed
    return JobRecord(
        name=prepared.name,
        key=job_key(prepared.parts),
        parts=prepared.parts,
        provider=model.provider.name,
        base_url=model.base_url,
        model=asked_name_of(model, embeds=embeds is not None),
        kind=prepared.asked.kind,
        created_at=created_at,
        remotes=tuple(remotes),
        api=None if embeds is not None else batch_chat_of(model).api,
        embeds=embeds,
        schema=prepared.schema,
        prefix=prepared.settings.prefix,
        ids=prepared.ids,
        queue_tokens=prepared.settings.queue_tokens,
    )
