"""Looking at batches: lists, single ones, waiting for them, and asking them to stop."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tidyllm.client.targets import Target, batches_of
from tidyllm.core.batch import Batch
from tidyllm.core.clock import Clock
from tidyllm.core.errors import BadAnswerError, NotDoneError, SettingError
from tidyllm.core.wire import Call, Sleep
from tidyllm.provider import Model

if TYPE_CHECKING:
    import polars as pl

_PAGE_FIRST = 20
"""The API's own page: most people have no more batches, or look at the newest alone."""
_PAGE_MAX = 100
_PAUSE_FIRST_S = 1.0
_PAUSE_GROWTH = 1.5


def list_all(model: Model, *, limit: int | None) -> Call[tuple[Batch, ...]]:
    """Return the newest `limit` batches, or all; asks for no more rows and no more pages than that needs."""
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
        if after is None:
            break
        if len(found) == known:
            raise BadAnswerError(f"{model.provider.name} repeats a page of its list of batches.", body=after.encode())
    return tuple(found.values())[:limit]


def look(target: Target) -> Call[tuple[Batch, ...]]:
    """Return the batches as they are now."""
    get, site = batches_of(target.model).get, target.model.site
    return _each(target, lambda batch_id: get(site, batch_id))


def cancel(target: Target) -> Call[tuple[Batch, ...]]:
    """Ask the batches to stop, and return them."""
    cancel_one, site = batches_of(target.model).cancel, target.model.site
    return _each(target, lambda batch_id: cancel_one(site, batch_id))


def wait(
    target: Target,
    *,
    poll_s: float,
    timeout_s: float | None,
    clock: Clock,
    show: Callable[[tuple[Batch, ...]], None] | None,
) -> Call[tuple[Batch, ...]]:
    """Return the batches once all have ended; `show`, if there is one, is called with each look at them.

    Looks often at first and every `poll_s` later. Raises NotDoneError after `timeout_s`, and for a status that is
    not known to be an end or the way to one.
    """
    began, pause = clock.monotonic(), _PAUSE_FIRST_S
    while True:
        batches = yield from look(target)
        if show is not None:
            show(batches)
        unended = [batch for batch in batches if not batch.status.ended]
        if not unended:
            return batches
        word = unended[0].status_word or unended[0].status.value
        if unended[0].status_word is not None:
            raise NotDoneError(
                f"{target.name}: the provider's status {word!r} is unknown here, so nobody can say whether to wait.",
                name=target.name,
                status=word,
            )
        left = float("inf") if timeout_s is None else timeout_s - (clock.monotonic() - began)
        if left <= 0:
            told = f"{target.name} is still {word} after {timeout_s:g} s."
            raise NotDoneError(f"{told} It goes on: wait again, or fetch it later.", name=target.name, status=word)
        yield Sleep(min(pause, poll_s, left))
        pause *= _PAUSE_GROWTH


def frame_of(batches: tuple[Batch, ...], model: Model) -> "pl.DataFrame":
    """Return the batches as a table."""
    # Imported here, because it loads polars.
    from tidyllm.client.frame import batches_frame  # noqa: PLC0415

    return batches_frame(batches, provider=model.provider.name)


def _each(target: Target, ask: Callable[[str], Call[Batch]]) -> Call[tuple[Batch, ...]]:
    batches = []
    for batch_id in target.batch_ids:
        batch = yield from ask(batch_id)
        batches.append(batch)
    return tuple(batches)
