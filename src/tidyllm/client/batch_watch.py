"""The verbs that look at batches: list, check, wait, cancel and delete, each with its async twin.

With `dry_run` each returns what it would send first, one preview a remote batch, and sends nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, overload

import msgspec

from tidyllm.client import look
from tidyllm.client.calls import shown, transport_for
from tidyllm.client.jobs import Job
from tidyllm.client.preview import Preview, preview
from tidyllm.client.progress import batch_bar, count_bar
from tidyllm.client.stopping import told_if_stopped
from tidyllm.client.targets import Target, find_target
from tidyllm.core.wire import Call
from tidyllm.provider import Model, resolve_model
from tidyllm.transport.drive import adrive, drive

if TYPE_CHECKING:
    import polars as pl

POLL_S = 30.0
"""Longest pause between two looks at a batch; the first ones are shorter."""


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
    with count_bar("batches") as show:
        batches = drive(look.list_all(asked, limit=limit, show=show), transport_for(asked))
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
    with count_bar("batches") as show:
        batches = await adrive(look.list_all(asked, limit=limit, show=show), transport_for(asked))
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
        return previews(target, look.look)
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
        return previews(target, look.look)
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

    Raises ConflictError where all of them have ended already.
    """
    target = find_target(job, provider)
    if dry_run:
        return previews(target, look.cancel)
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
        return previews(target, look.cancel)
    return look.frame_of(await adrive(look.cancel(target), transport_for(target.model)), target.model)


@overload
def delete_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[False] = False
) -> tuple[str, ...]: ...
@overload
def delete_batch(job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[True]) -> list[Preview]: ...
def delete_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: bool = False
) -> tuple[str, ...] | list[Preview]:
    """Have the provider forget a job's batches, which must have ended, and their results; return their ids.

    What was fetched stays in the job's folder. Claude, Gemini, Mistral and OpenRouter have it; SettingError names them
    where another is asked. Raises ConflictError, or what else the provider answers, for a batch that has not ended.
    """
    target = find_target(job, provider)
    if dry_run:
        return previews(target, look.delete)
    return drive(look.delete(target), transport_for(target.model))


@overload
async def adelete_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[False] = False
) -> tuple[str, ...]: ...
@overload
async def adelete_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: Literal[True]
) -> list[Preview]: ...
async def adelete_batch(
    job: Job | str, provider: Model | str | None = None, *, dry_run: bool = False
) -> tuple[str, ...] | list[Preview]:
    """Do what `delete_batch` does."""
    target = find_target(job, provider)
    if dry_run:
        return previews(target, look.delete)
    return await adrive(look.delete(target), transport_for(target.model))


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

    What of a job could not be sent at once, `queue_tokens=` or the provider's own queue being full, is sent meanwhile.
    Ctrl-C ends the waiting, never the job. A lost network or a provider in trouble ends neither: it is logged once, and
    the next look may succeed. Raises NotDoneError when `timeout_s` seconds have passed, with what was wrong at the last
    look as its cause; AuthError, NotFoundError and their kin at once.
    """
    target = find_target(job, provider)
    if dry_run:
        return previews(target, look.look)
    transport = transport_for(target.model)
    with told_if_stopped(way_on(target)), batch_bar(target.name, wanted=progress) as show:
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
        return previews(target, look.look)
    transport = transport_for(target.model)
    with told_if_stopped(way_on(target)), batch_bar(target.name, wanted=progress) as show:
        waiting = look.wait(target, poll_s=poll_s, timeout_s=timeout_s, clock=transport.clock, show=show)
        batches = await adrive(waiting, transport)
    return look.frame_of(batches, target.model)


def previews(target: Target, ask: Callable[[Target], Call[object]]) -> list[Preview]:
    """Return what would be sent first about each of a job's batches."""
    asked = msgspec.structs.replace(target, model=shown(target.model))
    return [preview(ask(msgspec.structs.replace(asked, batch_ids=(one,)))) for one in target.batch_ids]


def way_on(target: Target) -> str:
    """Return how to go on after a wait that was stopped."""
    again = repr(target.name) if target.folder else f"{target.name!r}, provider={target.model!r}"
    return f"The batch goes on without us: wait_batch({again}) waits again, fetch_batch({again}) fetches what it gave."
