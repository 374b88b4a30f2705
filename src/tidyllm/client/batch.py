"""The verbs for batches: list, check, send, wait, fetch and cancel, each with its async twin.

With `dry_run` each returns what it would send first, one preview a remote batch, and sends nothing.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, overload

import msgspec

from tidyllm.client import fetch, look
from tidyllm.client.calls import shown, transport_for
from tidyllm.client.jobs import Job
from tidyllm.client.plan import Plan, keep, plan, prepare
from tidyllm.client.preview import Preview, preview
from tidyllm.client.progress import batch_bar
from tidyllm.client.send import send
from tidyllm.client.targets import Target, find_target
from tidyllm.core.wire import Call
from tidyllm.provider import Model, resolve_model
from tidyllm.transport.drive import adrive, drive

if TYPE_CHECKING:
    import polars as pl
    from narwhals.typing import IntoDataFrame

POLL_S = 30.0
"""Longest pause between two looks at a batch; the first ones are shorter."""
_SAME_AGAIN = "Run the same line again: it goes on where it stopped, and looks for the batch before it creates one."


@overload
def list_batches(
    model: Model | str, *, limit: int | None = None, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
def list_batches(model: Model | str, *, limit: int | None = None, dry_run: Literal[True]) -> Preview: ...
def list_batches(model: Model | str, *, limit: int | None = None, dry_run: bool = False) -> "pl.DataFrame | Preview":
    """Return a table of a provider's batches, newest first, all pages or the newest `limit`.

        list_batches(openai())

    The first columns are `batch_id, status, created_at, expires_at, request_total, request_completed,
    request_failed`, for every provider; times are UTC. Raises ApiError and its kin as the provider answers.
    """
    asked = resolve_model(model)
    if dry_run:
        return preview(look.list_all(shown(asked), limit=limit))
    batches = drive(look.list_all(asked, limit=limit), transport_for(asked))
    return look.frame_of(batches, asked)


@overload
async def alist_batches(
    model: Model | str, *, limit: int | None = None, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
async def alist_batches(model: Model | str, *, limit: int | None = None, dry_run: Literal[True]) -> Preview: ...
async def alist_batches(
    model: Model | str, *, limit: int | None = None, dry_run: bool = False
) -> "pl.DataFrame | Preview":
    """Return what `list_batches` does."""
    asked = resolve_model(model)
    if dry_run:
        return preview(look.list_all(shown(asked), limit=limit))
    batches = await adrive(look.list_all(asked, limit=limit), transport_for(asked))
    return look.frame_of(batches, asked)


@overload
def check_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
def check_batch(job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[True]) -> list[Preview]: ...
def check_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: bool = False
) -> "pl.DataFrame | list[Preview]":
    """Return how a job's batches stand now, one row each, with the columns of `list_batches`.

    `job` is what `send_batch` returned, or its name, or with `provider` the provider's id of any batch.
    Raises JobNotFoundError, and ApiError and its kin as the provider answers.
    """
    target = find_target(job, provider)
    if dry_run:
        return _previews(target, look.look)
    return look.frame_of(drive(look.look(target), transport_for(target.model)), target.model)


@overload
async def acheck_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
async def acheck_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[True]
) -> list[Preview]: ...
async def acheck_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: bool = False
) -> "pl.DataFrame | list[Preview]":
    """Return what `check_batch` does."""
    target = find_target(job, provider)
    if dry_run:
        return _previews(target, look.look)
    return look.frame_of(await adrive(look.look(target), transport_for(target.model)), target.model)


@overload
def cancel_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
def cancel_batch(job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[True]) -> list[Preview]: ...
def cancel_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: bool = False
) -> "pl.DataFrame | list[Preview]":
    """Ask a job's batches to stop, and return how they stand, as `check_batch` does; what is answered can be fetched.

    Raises ConflictError for a batch that has ended otherwise.
    """
    target = find_target(job, provider)
    if dry_run:
        return _previews(target, look.cancel)
    return look.frame_of(drive(look.cancel(target), transport_for(target.model)), target.model)


@overload
async def acancel_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
async def acancel_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[True]
) -> list[Preview]: ...
async def acancel_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: bool = False
) -> "pl.DataFrame | list[Preview]":
    """Do what `cancel_batch` does."""
    target = find_target(job, provider)
    if dry_run:
        return _previews(target, look.cancel)
    return look.frame_of(await adrive(look.cancel(target), transport_for(target.model)), target.model)


@overload
def send_batch(
    data: "list[str] | IntoDataFrame",
    model: Model | str,
    *,
    prompt: str | None = None,
    system: str | None = None,
    name: str | None = None,
    dry_run: Literal[False] = False,
) -> Job: ...
@overload
def send_batch(
    data: "list[str] | IntoDataFrame",
    model: Model | str,
    *,
    prompt: str | None = None,
    system: str | None = None,
    name: str | None = None,
    dry_run: Literal[True],
) -> Plan: ...
def send_batch(
    data: "list[str] | IntoDataFrame",
    model: Model | str,
    *,
    prompt: str | None = None,
    system: str | None = None,
    name: str | None = None,
    dry_run: bool = False,
) -> Job | Plan:
    """Send a table as a batch, one request a row, and return the job that it is from now on.

        job = send_batch(reviews, openai(), prompt="Rate this review: {text}", name="reviews-november")

    `prompt` and `system` are templates over the table's columns; a plain list of texts needs none. The job is kept on
    disk under its name, or one made of its content: sending the same again returns the same job and sends nothing,
    and whatever an earlier attempt left undone is done. With `dry_run` you get what would be sent, and nothing is.

    Raises SettingError, before anything is sent, for a prompt, a table or a size that cannot be; JobChangedError for
    a name under which something else was sent; JobLockedError; ApiError and its kin as the provider answers.
    """
    asked = resolve_model(model)
    prepared = prepare(data, asked, prompt=prompt, system=system, name=name)
    if dry_run:
        return plan(prepared)
    transport = transport_for(asked)
    with _told_if_stopped(_SAME_AGAIN):
        return drive(send(keep(prepared, transport.clock), asked, clock=transport.clock), transport)


@overload
async def asend_batch(
    data: "list[str] | IntoDataFrame",
    model: Model | str,
    *,
    prompt: str | None = None,
    system: str | None = None,
    name: str | None = None,
    dry_run: Literal[False] = False,
) -> Job: ...
@overload
async def asend_batch(
    data: "list[str] | IntoDataFrame",
    model: Model | str,
    *,
    prompt: str | None = None,
    system: str | None = None,
    name: str | None = None,
    dry_run: Literal[True],
) -> Plan: ...
async def asend_batch(
    data: "list[str] | IntoDataFrame",
    model: Model | str,
    *,
    prompt: str | None = None,
    system: str | None = None,
    name: str | None = None,
    dry_run: bool = False,
) -> Job | Plan:
    """Do what `send_batch` does."""
    asked = resolve_model(model)
    prepared = await asyncio.to_thread(prepare, data, asked, prompt=prompt, system=system, name=name)
    if dry_run:
        return plan(prepared)
    transport = transport_for(asked)
    with _told_if_stopped(_SAME_AGAIN):
        folder = await asyncio.to_thread(keep, prepared, transport.clock)
        return await adrive(send(folder, asked, clock=transport.clock), transport)


@overload
def wait_batch(
    job: Job | str,
    provider: Model | str | None = None,
    *,
    poll_s: float = POLL_S,
    timeout_s: float | None = None,
    progress: bool = True,
    dry_run: Literal[False] = False,
) -> "pl.DataFrame": ...
@overload
def wait_batch(
    job: Job | str,
    provider: Model | str | None = None,
    *,
    poll_s: float = POLL_S,
    timeout_s: float | None = None,
    progress: bool = True,
    dry_run: Literal[True],
) -> list[Preview]: ...
def wait_batch(
    job: Job | str,
    provider: Model | str | None = None,
    *,
    poll_s: float = POLL_S,
    timeout_s: float | None = None,
    progress: bool = True,
    dry_run: bool = False,
) -> "pl.DataFrame | list[Preview]":
    """Wait until a job's batches have ended, and return how, as `check_batch` does; on a terminal a bar shows how far.

    Ctrl-C ends the waiting, never the job. A lost network or a provider in trouble ends neither: it is logged once, and
    the next look may succeed. Raises NotDoneError when `timeout_s` seconds have passed, with what was wrong at the last
    look as its cause; AuthError, NotFoundError and their kin at once.
    """
    target = find_target(job, provider)
    if dry_run:
        return _previews(target, look.look)
    transport = transport_for(target.model)
    with _told_if_stopped(_way_on(target)), batch_bar(target.name, wanted=progress) as show:
        waiting = look.wait(target, poll_s=poll_s, timeout_s=timeout_s, clock=transport.clock, show=show)
        batches = drive(waiting, transport)
    return look.frame_of(batches, target.model)


@overload
async def await_batch(
    job: Job | str,
    provider: Model | str | None = None,
    *,
    poll_s: float = POLL_S,
    timeout_s: float | None = None,
    progress: bool = True,
    dry_run: Literal[False] = False,
) -> "pl.DataFrame": ...
@overload
async def await_batch(
    job: Job | str,
    provider: Model | str | None = None,
    *,
    poll_s: float = POLL_S,
    timeout_s: float | None = None,
    progress: bool = True,
    dry_run: Literal[True],
) -> list[Preview]: ...
async def await_batch(
    job: Job | str,
    provider: Model | str | None = None,
    *,
    poll_s: float = POLL_S,
    timeout_s: float | None = None,
    progress: bool = True,
    dry_run: bool = False,
) -> "pl.DataFrame | list[Preview]":
    """Do what `wait_batch` does."""
    target = find_target(job, provider)
    if dry_run:
        return _previews(target, look.look)
    transport = transport_for(target.model)
    with _told_if_stopped(_way_on(target)), batch_bar(target.name, wanted=progress) as show:
        waiting = look.wait(target, poll_s=poll_s, timeout_s=timeout_s, clock=transport.clock, show=show)
        batches = await adrive(waiting, transport)
    return look.frame_of(batches, target.model)


@overload
def fetch_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
def fetch_batch(job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[True]) -> list[Preview]: ...
def fetch_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: bool = False
) -> "pl.DataFrame | list[Preview]":
    """Return the rows of a job with their answers: the columns as they were, then `reply` and `llm_...`.

    The table is of the kind that was sent: polars, pandas or Arrow. Every row is there whatever became of it, as
    `llm_status` says: ok, refused, truncated, invalid, failed, expired, cancelled or pending. Everything the provider
    has is saved in the job's folder before it is read; once its files are there, fetching again needs no network. Only
    rows of a batch whose files are not there yet are pending. A batch that was sent from elsewhere is fetched by its id
    with `provider`; its rows are then a column `custom_id`.

    Raises NotDoneError before the batch has ended; BatchFailedError where it was refused as a whole.
    """
    target = find_target(job, provider)
    if dry_run:
        return _previews(target, look.look)
    transport = transport_for(target.model)
    folder = drive(fetch.download(target, clock=transport.clock), transport)
    return fetch.tabulate(folder, target.model)


@overload
async def afetch_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
async def afetch_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[True]
) -> list[Preview]: ...
async def afetch_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: bool = False
) -> "pl.DataFrame | list[Preview]":
    """Return what `fetch_batch` does."""
    target = find_target(job, provider)
    if dry_run:
        return _previews(target, look.look)
    transport = transport_for(target.model)
    folder = await adrive(fetch.download(target, clock=transport.clock), transport)
    return await asyncio.to_thread(fetch.tabulate, folder, target.model)


def _previews(target: Target, ask: Callable[[Target], Call[object]]) -> list[Preview]:
    """Return what would be sent first about each of a job's batches."""
    asked = msgspec.structs.replace(target, model=shown(target.model))
    return [preview(ask(msgspec.structs.replace(asked, batch_ids=(one,)))) for one in target.batch_ids]


@contextmanager
def _told_if_stopped(way_on: str) -> Iterator[None]:
    """Have whoever stops the block, by Ctrl-C or by cancelling its task, be told how to go on."""
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError) as stop:
        stop.add_note(way_on)
        raise


def _way_on(target: Target) -> str:
    again = repr(target.name) if target.folder else f"{target.name!r}, provider={target.model!r}"
    return f"The batch goes on without us: wait_batch({again}) waits again, fetch_batch({again}) fetches what it gave."
