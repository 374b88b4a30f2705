"""A whole table through `chat`: every row asks, and comes back with its answer beside it."""

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from tidyllm.client.calls import first_request, transport_for
from tidyllm.client.many import Asking, Many, in_one_line
from tidyllm.client.preview import Preview, preview
from tidyllm.client.prices import priced
from tidyllm.client.run import Answering
from tidyllm.core.errors import PartlyFailedError, TidyllmError
from tidyllm.core.reply import Outcome, Reply
from tidyllm.provider import Model
from tidyllm.transport.drive import body_bytes

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

    from tidyllm.client.collect import Collected

_SHOWN = 3
_BYTES_PER_TOKEN = 4


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What `chat` would ask for a table; nothing was sent or written."""

    model: Model
    rows: int
    """Requests, those included that a named run has had answered already."""
    bytes: int
    """Of all requests' bodies together."""
    tokens_in: int
    """About so many, at four bytes each, and 2,000 an image; of a file that stays at its URL nothing is known."""
    cost_in: float | None
    """What these cost at list prices, in US dollars, without the answers; null where no price is known."""
    first: tuple[Preview, ...]
    """How the first requests would be sent."""


def plan_table(asking: Asking, *, answer: Answering) -> RunPlan:
    """Return what would be sent; `answer` must hold no secret (`shown`)."""
    first = islice(asking.talks.sure(), _SHOWN)
    previews = tuple(preview(answer(talk), media=talk.media) for talk in first)
    total = counted = 0
    for talk in asking.talks.sure():
        request = first_request(answer(talk))
        total += len(request.body) if isinstance(request.body, bytes) else 0
        counted += body_bytes(request)
    model, tokens = asking.model, counted // _BYTES_PER_TOKEN
    asked = Reply(provider=model.provider.name, asked=model.chat_name, tokens_in=tokens, tokens_out=0)
    return RunPlan(
        model=model,
        rows=asking.height,
        bytes=total,
        tokens_in=tokens,
        cost_in=priced(asked).cost,
        first=previews,
    )


def chat_table(asking: Asking, *, answer: Answering) -> "IntoDataFrame":
    """Return the table with its answers.

    Raises KeyboardInterrupt, and JournalError where answers cannot be kept, with what came until then in `results`; so
    has whatever else ends a run early.
    """
    many, collected = _many(asking, answer)
    try:
        many.go()
    except (KeyboardInterrupt, TidyllmError) as stop:
        stop.results = _table(asking, many, collected=collected)  # type: ignore[union-attr]
        raise
    return _unless_failed(asking, many, table=_table(asking, many, collected=collected))


async def achat_table(asking: Asking, *, answer: Answering) -> "IntoDataFrame":
    """Do what `chat_table` does."""
    many, collected = _many(asking, answer)
    try:
        await many.ago()
    except TidyllmError as stop:
        stop.results = await asyncio.to_thread(_table, asking, many, collected=collected)  # type: ignore[attr-defined]
        raise
    return _unless_failed(asking, many, table=await asyncio.to_thread(_table, asking, many, collected=collected))


def _many(asking: Asking, answer: Answering) -> "tuple[Many, Collected]":
    # Imported here, because it loads polars.
    from tidyllm.client.collect import Collected  # noqa: PLC0415

    collected = Collected(asking.schema)
    # Where nothing is kept on disk, an answer that nobody waits for any more is of no use.
    transport = transport_for(asking.model, lets_go=asking.settings.name is None)
    return Many(asking, answer=answer, transport=transport, sink=collected.add), collected


def _table(asking: Asking, many: Many, *, collected: "Collected") -> "IntoDataFrame":
    assert asking.table is not None  # noqa: S101 - it is one of a table
    pending = many.run.stopped or "The run was broken off."
    return asking.table.with_columns(collected.columns(asking.height, pending=pending, prefix=asking.settings.prefix))


def _unless_failed(asking: Asking, many: Many, *, table: "IntoDataFrame") -> "IntoDataFrame":
    told = many.run.told
    if asking.settings.on_error == "row" or told.outcomes[Outcome.OK] == asking.height:
        return table
    stopped = f" {many.run.stopped}" if many.run.stopped else ""
    message = (
        f"Not every row was answered: {in_one_line(told)}.{stopped} The exception's `results` has the whole table."
    )
    raise PartlyFailedError(message, results=(table,)) from next(iter(many.run.failures.values()), None)
