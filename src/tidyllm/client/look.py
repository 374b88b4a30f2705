"""Looking at batches: lists, single ones, and waiting for them; having them stopped, and forgotten."""

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from tidyllm.client.again import is_begun
from tidyllm.client.capabilities import batches_of, cancels_of, deletes_of
from tidyllm.client.jobs import JobFolder, Remote
from tidyllm.client.send import tend, unsent
from tidyllm.client.targets import Target
from tidyllm.core.batch import Batch
from tidyllm.core.clock import Clock
from tidyllm.core.errors import (
    ApiError,
    BadAnswerError,
    ConflictError,
    JobLockedError,
    NotDoneError,
    RateLimitError,
    ServerError,
    SettingError,
    TransportError,
)
from tidyllm.core.wire import Call, Sleep
from tidyllm.provider import Model

if TYPE_CHECKING:
    import polars as pl

_PAGE_FIRST = 20
"""The API's own page: most people have no more batches, or look at the newest alone."""
_PAGE_MAX = 100
_PAUSE_FIRST_S = 1.0
_PAUSE_GROWTH = 1.5
_ASKED_PAUSE_MAX_S = 3_600.0
"""Longest pause that a provider can ask for between two looks."""
_QUEUED = "queued"
"""Where a job stands of which all that was sent has ended, and not all was sent."""
_LOG = logging.getLogger("tidyllm")


def list_all(model: Model, *, limit: int | None, show: Callable[[int], None] | None = None) -> Call[tuple[Batch, ...]]:
    """Return the newest `limit` batches, or all; asks for no more rows and no more pages than that needs.

    `show`, if there is one, is called after each page with how many there are so far.
    """
    if limit is not None and limit < 1:
        raise SettingError(f"limit= must be at least 1, not {limit}.")
    found: dict[str, Batch] = {}
    after: str | None = None
    while limit is None or len(found) < limit:
        size = _PAGE_MAX if found else _PAGE_FIRST
        if limit is not None:
            size = min(limit - len(found), _PAGE_MAX)
        page = yield from batches_of(model).page(model.site, limit=size, after=after)
        known = len(found)
        found |= {batch.id: batch for batch in page.batches}
        after = page.after
        if show is not None:
            show(len(found))
        if after is None:
            break
        if len(found) == known:
            raise BadAnswerError(f"{model.provider.name} repeats a page of its list of batches.", body=after.encode())
    return tuple(found.values())[:limit]


def look(target: Target) -> Call[tuple[Batch, ...]]:
    """Return the batches as they are now."""
    found: list[Batch] = []
    for batch_id in target.batch_ids:
        batch = yield from batches_of(target.model).get(target.model.site, batch_id)
        found.append(batch)
    return tuple(found)


def cancel(target: Target) -> Call[tuple[Batch, ...]]:
    """Ask the batches to stop, and return them; what of a job was not sent yet never is."""
    cancel_one, site = cancels_of(target.model).cancel, target.model.site
    if target.folder is not None and (unsent(target.folder) or is_begun(target.folder)):
        with target.folder.locked():
            target.folder.write(msgspec.structs.replace(target.folder.read(), cancelled=True))
    found: list[Batch] = []
    refusal: ConflictError | None = None
    stopped = 0
    for batch_id in target.batch_ids:
        try:
            batch = yield from cancel_one(site, batch_id)
            stopped += 1
        except ConflictError as fault:
            # One that has ended must not keep the others from being stopped.
            refusal = fault
            batch = yield from batches_of(target.model).get(site, batch_id)
        found.append(batch)
    if refusal is not None and not stopped:
        raise refusal
    return tuple(found)


def delete(target: Target) -> Call[tuple[str, ...]]:
    """Have the provider forget the batches; return their ids."""
    deletes, site = deletes_of(target.model), target.model.site
    for batch_id in target.batch_ids:
        yield from deletes.delete(site, batch_id)
    return target.batch_ids


def wait(
    target: Target,
    *,
    poll_s: float,
    timeout_s: float | None,
    clock: Clock,
    show: Callable[[tuple[Batch, ...]], None] | None,
) -> Call[tuple[Batch, ...]]:
    """Return the batches once all have ended; `show`, if there is one, is called with each look at them.

    Looks often at first and every `poll_s` later; a look that fails for want of a network or of a working provider is
    made again. What a job has not sent yet is sent meanwhile, as soon as it may be, and what was refused for what
    passes is sent again. Raises NotDoneError after `timeout_s`, and for a status that is not known to be an end or the
    way to one.
    """
    pause, word = _PAUSE_FIRST_S, "unknown"
    ends_at = math.inf if timeout_s is None else clock.monotonic() + timeout_s
    outage: TransportError | ServerError | RateLimitError | None = None
    while True:
        try:
            target = yield from _tended(target, clock=clock, ends_at=ends_at)
            batches = yield from look(target)
        except (TransportError, ServerError, RateLimitError) as fault:
            if outage is None:
                _LOG.warning("%s: a look at it failed, and is tried again until one succeeds: %s", target.name, fault)
            outage = fault
        else:
            outage = None
            if show is not None:
                show(batches)
            goes_on = _noted(target, batches)
            unended = [batch for batch in batches if not batch.status.ended]
            if not unended and not goes_on:
                return batches
            word = _known_word(unended[0], target.name) if unended else _QUEUED
        left = ends_at - clock.monotonic()
        if left <= 0:
            told = f"is still {word}" if outage is None else "cannot be seen"
            raise NotDoneError(
                f"{target.name} {told} after {timeout_s:g} s. It goes on: wait again, or fetch it later.",
                name=target.name,
                status=word,
            ) from outage
        yield Sleep(min(max(min(pause, poll_s), _asked_pause_s(outage)), left))
        pause *= _PAUSE_GROWTH


def _tended(target: Target, *, clock: Clock, ends_at: float) -> Call[Target]:
    """Send what of a job is to be sent now; return which batches it has."""
    if target.folder is None or not unsent(target.folder):
        return target
    try:
        batch_ids = yield from tend(target.folder, target.model, clock=clock, ends_at=ends_at)
    except JobLockedError:
        # Another process is at it: it sends, and we look.
        return target
    return msgspec.structs.replace(target, batch_ids=batch_ids)


def _noted(target: Target, batches: tuple[Batch, ...]) -> bool:
    """Write down how a job's batches stand; return whether more of it is to be sent."""
    if target.folder is None:
        return False
    try:
        with target.folder.locked():
            _note(target.folder, batches)
    except JobLockedError:
        # Another process has it in hand, which may be about to send more.
        return True
    return unsent(target.folder)


def _note(folder: JobFolder, batches: tuple[Batch, ...]) -> None:
    """Write down how a job's batches stand, where they have moved on."""
    told = {batch.id: batch for batch in batches}
    record = folder.read()
    remotes = tuple(_moved_on(remote, told) for remote in record.remotes)
    if remotes != record.remotes:
        folder.write(msgspec.structs.replace(record, remotes=remotes))


def _moved_on(remote: Remote, told: dict[str, Batch]) -> Remote:
    known = remote.batch
    now = None if known is None else told.get(known.id)
    if known is None or now is None or now.status is known.status:
        return remote
    return msgspec.structs.replace(remote, batch=now)


def frame_of(batches: tuple[Batch, ...], model: Model) -> "pl.DataFrame":
    """Return the batches as a table."""
    # Imported here, because it loads polars.
    from tidyllm.client.frame import batches_frame  # noqa: PLC0415

    return batches_frame(batches, provider=model.provider.name)


def _known_word(batch: Batch, name: str) -> str:
    """Return where a batch stands. Raises NotDoneError for a word that may be an end or not."""
    if batch.status_word is None:
        return batch.status.value
    raise NotDoneError(
        f"{name}: the provider's status {batch.status_word!r} is unknown here, so nobody can say whether to wait.",
        name=name,
        status=batch.status_word,
    )


def _asked_pause_s(fault: TransportError | ApiError | None) -> float:
    """Return how long the provider asks to be left alone."""
    asked_s = fault.retry_after_s if isinstance(fault, ApiError) else None
    return min(asked_s or 0.0, _ASKED_PAUSE_MAX_S)
