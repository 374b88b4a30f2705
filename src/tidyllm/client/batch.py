"""The verbs that carry rows: send, fetch and retry a batch, each with its async twin.

With `dry_run` each returns what it would send first and sends nothing.
"""

import asyncio
from typing import TYPE_CHECKING, Literal, TypeAlias, Unpack, cast, overload

from tidyllm.client import again, fetch, look
from tidyllm.client.batch_watch import previews
from tidyllm.client.calls import transport_for
from tidyllm.client.chat import Conversations, LLMMessage
from tidyllm.client.jobs import Job, JobFolder, job_of
from tidyllm.client.plan import Plan, Prepared, keep, plan, prepare
from tidyllm.client.preview import Preview
from tidyllm.client.rows import Prompt
from tidyllm.client.schemas import schema_of
from tidyllm.client.send import send
from tidyllm.client.send_options import SendOptions, SendSettings, send_settings
from tidyllm.client.stopping import told_if_stopped
from tidyllm.client.targets import Target, find_target
from tidyllm.core.clock import Clock
from tidyllm.core.errors import BadAnswerError, JobError, NotDoneError, PartlyFailedError
from tidyllm.core.message import AssistantTurn, Conversation
from tidyllm.core.reply import Answer
from tidyllm.core.schema import Schema
from tidyllm.core.wire import Call
from tidyllm.provider import Model, resolve_model
from tidyllm.transport.drive import adrive, drive

if TYPE_CHECKING:
    import polars as pl
    from narwhals.typing import IntoDataFrame

    Sent: TypeAlias = Conversations | IntoDataFrame

_SAME_AGAIN = "Run the same line again: it goes on where it stopped, and looks for the batch before it creates one."


@overload
def send_batch(
    data: "Sent",
    model: Model | str,
    *,
    prompt: Prompt = None,
    system: str | None = None,
    schema: object = None,
    dry_run: Literal[False] = False,
    **options: Unpack[SendOptions],
) -> Job: ...
@overload
def send_batch(
    data: "Sent",
    model: Model | str,
    *,
    prompt: Prompt = None,
    system: str | None = None,
    schema: object = None,
    dry_run: Literal[True],
    **options: Unpack[SendOptions],
) -> Plan: ...
def send_batch(
    data: "Sent",
    model: Model | str,
    *,
    prompt: Prompt = None,
    system: str | None = None,
    schema: object = None,
    dry_run: bool = False,
    **options: Unpack[SendOptions],
) -> Job | Plan:
    """Send a table as a batch, one request a row, and return the job that it is from now on.

        job = send_batch(reviews, openai(), prompt="Rate this review: {text}", schema=Review, name="reviews-november")
        job = send_batch(papers, openai("text-embedding-3-small"), embed="abstract")

    `prompt`, `system` and `schema` are what they are for `chat`; a list of texts needs none, and a list of
    conversations says itself what is asked. With `embed` the texts of that column become vectors. What is more than the
    provider takes in one batch becomes several, which are one job all the same. The job is kept on disk under its
    `name`, or one made of its content: sending the same again returns the same job and sends nothing, and whatever an
    earlier attempt left undone is done. `budget=` refuses what might cost more US dollars; what else can be said is in
    docs/client.md. With `dry_run` you get what would be sent, and what it costs about, and nothing is.

    Raises SettingError, before anything is sent, for a prompt, a table, a row or a budget that cannot be;
    JobChangedError for a name under which something else was sent; JobUnsureError where an earlier attempt may have
    created a batch that nobody can tell from others; JobLockedError; ApiError and its kin as the provider answers.
    """
    asked, settings = resolve_model(model), send_settings(options)
    prepared = _prepared(data, asked, prompt=prompt, system=system, schema=schema, settings=settings)
    if dry_run:
        return plan(prepared)
    transport = transport_for(asked)
    with told_if_stopped(_SAME_AGAIN):
        folder = keep(prepared, transport.clock)
        return drive(send(folder, asked, clock=transport.clock, adopt=settings.adopt), transport)


@overload
async def asend_batch(
    data: "Sent",
    model: Model | str,
    *,
    prompt: Prompt = None,
    system: str | None = None,
    schema: object = None,
    dry_run: Literal[False] = False,
    **options: Unpack[SendOptions],
) -> Job: ...
@overload
async def asend_batch(
    data: "Sent",
    model: Model | str,
    *,
    prompt: Prompt = None,
    system: str | None = None,
    schema: object = None,
    dry_run: Literal[True],
    **options: Unpack[SendOptions],
) -> Plan: ...
async def asend_batch(
    data: "Sent",
    model: Model | str,
    *,
    prompt: Prompt = None,
    system: str | None = None,
    schema: object = None,
    dry_run: bool = False,
    **options: Unpack[SendOptions],
) -> Job | Plan:
    """Do what `send_batch` does."""
    asked, settings = resolve_model(model), send_settings(options)
    prepared = await asyncio.to_thread(
        _prepared, data, asked, prompt=prompt, system=system, schema=schema, settings=settings
    )
    if dry_run:
        return await asyncio.to_thread(plan, prepared)
    transport = transport_for(asked)
    with told_if_stopped(_SAME_AGAIN):
        folder = await asyncio.to_thread(keep, prepared, transport.clock)
        return await adrive(send(folder, asked, clock=transport.clock, adopt=settings.adopt), transport)


@overload
def fetch_batch(
    job: Job | str, provider: Model | str | None = None, *, partial: bool = False, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
def fetch_batch(
    job: Job | str, provider: Model | str | None = None, *, partial: bool = False, dry_run: Literal[True]
) -> list[Preview]: ...
def fetch_batch(
    job: Job | str, provider: Model | str | None = None, *, partial: bool = False, dry_run: bool = False
) -> "pl.DataFrame | list[Preview]":
    """Return the rows of a job with their answers: the columns as they were, then those of `chat`.

    The table is of the kind that was sent: polars, pandas or Arrow. Every row is there whatever became of it, as
    `llm_status` says: ok, refused, truncated, invalid, failed, expired, cancelled or pending; `llm_cost` is at the
    price of batches. A job for vectors has the column `embeddings`, and one of conversations gives a list of these
    back, answered; type checkers are told of polars alone. Everything the provider has is saved in the job's folder
    before it is read; once its files are there, fetching again needs no network. With `partial` a batch may still run:
    rows of which nothing is known yet are pending. A batch that was sent from elsewhere is fetched by its id with
    `provider`; its rows are then a column `custom_id`.

    Raises NotDoneError before all has ended, unless `partial`; BatchFailedError where it was refused as a whole; of
    conversations PartlyFailedError, with all that came in `results`, where one has no answer.
    """
    target = find_target(job, provider)
    if dry_run:
        return previews(target, look.look)
    transport = transport_for(target.model)
    folder = drive(fetch.download(target, clock=transport.clock, partial=partial), transport)
    return _fetched(folder, target.model)


@overload
async def afetch_batch(
    job: Job | str, provider: Model | str | None = None, *, partial: bool = False, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
async def afetch_batch(
    job: Job | str, provider: Model | str | None = None, *, partial: bool = False, dry_run: Literal[True]
) -> list[Preview]: ...
async def afetch_batch(
    job: Job | str, provider: Model | str | None = None, *, partial: bool = False, dry_run: bool = False
) -> "pl.DataFrame | list[Preview]":
    """Return what `fetch_batch` does."""
    target = find_target(job, provider)
    if dry_run:
        return previews(target, look.look)
    transport = transport_for(target.model)
    folder = await adrive(fetch.download(target, clock=transport.clock, partial=partial), transport)
    return await asyncio.to_thread(_fetched, folder, target.model)


@overload
def retry_batch(job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[False] = False) -> Job: ...
@overload
def retry_batch(job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[True]) -> list[Preview]: ...
def retry_batch(job: Job | str, provider: Model | str | None = None, *, dry_run: bool = False) -> Job | list[Preview]:
    """Send again what of a job has failed, expired or was cancelled, into the same job, and return that.

    Its results are fetched first; what was answered, be it refused, cut off or invalid, was paid for and stays. Waiting
    and fetching go on under the job's name: a row has its newest answer. Where nothing has failed nothing is sent, and
    where an earlier call has begun to send it again, only what that left undone.

    Raises NotDoneError while a part of the job is still under way; JobError for a batch that was not sent from here.
    """
    target = find_target(job, provider)
    if dry_run:
        return previews(target, look.look)
    transport = transport_for(target.model)
    with told_if_stopped(_retry_on(target)):
        folder, begun = drive(_had(target, clock=transport.clock), transport)
        if not begun and not again.put_failed_again(folder, target.model):
            return job_of(folder, folder.read(), model=target.model)
        return drive(send(folder, target.model, clock=transport.clock), transport)


@overload
async def aretry_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[False] = False
) -> Job: ...
@overload
async def aretry_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[True]
) -> list[Preview]: ...
async def aretry_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: bool = False
) -> Job | list[Preview]:
    """Do what `retry_batch` does."""
    target = find_target(job, provider)
    if dry_run:
        return previews(target, look.look)
    transport = transport_for(target.model)
    with told_if_stopped(_retry_on(target)):
        folder, begun = await adrive(_had(target, clock=transport.clock), transport)
        if not begun and not await asyncio.to_thread(again.put_failed_again, folder, target.model):
            return job_of(folder, folder.read(), model=target.model)
        return await adrive(send(folder, target.model, clock=transport.clock), transport)


def _prepared(
    data: "Sent", model: Model, *, prompt: Prompt, system: str | None, schema: object, settings: SendSettings
) -> Prepared:
    wanted = None if schema is None else schema_of(schema)
    return prepare(data, model, prompt=prompt, system=system, schema=wanted, settings=settings)


def _fetched(folder: JobFolder, model: Model) -> "pl.DataFrame":
    record = folder.read()
    if record.kind != "messages":
        return fetch.tabulate(folder, model)
    talks, answers = fetch.conversations(folder, model)
    results = [_answered(talk, answer, schema=record.schema) for talk, answer in zip(talks, answers, strict=True)]
    failures = [result for result in results if isinstance(result, Exception)]
    if failures:
        raise PartlyFailedError(
            f"{len(failures)} of {len(results)} conversations have no answer, the first because: {failures[0]} The "
            "exception's `results` has them all.",
            results=tuple(results),
        ) from failures[0]
    return cast("pl.DataFrame", results)


def _answered(talk: Conversation, answer: Answer, *, schema: Schema | None) -> LLMMessage | BadAnswerError:
    if answer.reply is None:
        return BadAnswerError(f"{answer.custom_id} is {answer.outcome.value}: {answer.error}", body=b"")
    return LLMMessage(system=talk.system, turns=(*talk.turns, AssistantTurn(answer.reply, schema)))


def _had(target: Target, *, clock: Clock) -> Call[tuple[JobFolder, bool]]:
    """Return the folder of a job with all its results, or with what an earlier call has begun to send again.

    Says as well whether it is that. Raises JobError where nobody here knows what it asked.
    """
    folder = target.folder
    if folder is None or ((record := folder.read()).kind is None and not record.ready_made):
        raise JobError(
            f"{target.name} was not sent from here, so that its rows are unknown: send what failed as a new job.",
            name=target.name,
        )
    try:
        return (yield from fetch.download(target, clock=clock)), False
    except NotDoneError:
        if not again.is_begun(folder):
            raise
        return folder, True


def _retry_on(target: Target) -> str:
    return f"retry_batch({target.name!r}) again goes on where it stopped: what was sent is not sent twice."
