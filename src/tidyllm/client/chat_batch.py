"""A whole table through `chat` as a batch: sent, waited for and fetched; and what failed there asked at once."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tidyllm.client.again import AGAIN
from tidyllm.client.batch_watch import POLL_S
from tidyllm.client.calls import transport_for
from tidyllm.client.fetch import download
from tidyllm.client.jobs import JobFolder, OpenJob
from tidyllm.client.look import wait
from tidyllm.client.many import Asking, Many, in_one_line, rows_of
from tidyllm.client.plan import Prepared, keep, prepare
from tidyllm.client.progress import batch_bar
from tidyllm.client.results import answers
from tidyllm.client.rows import Prompt
from tidyllm.client.run import Answering, Told
from tidyllm.client.run_options import RunSettings
from tidyllm.client.send import send
from tidyllm.client.send_options import SendSettings
from tidyllm.client.stopping import told_if_stopped
from tidyllm.client.targets import Target
from tidyllm.core.batch import Batch
from tidyllm.core.clock import Clock
from tidyllm.core.errors import PartlyFailedError, TidyllmError
from tidyllm.core.reply import Outcome
from tidyllm.core.schema import Schema
from tidyllm.core.wire import Call
from tidyllm.provider import Model
from tidyllm.transport.drive import adrive, drive

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

    from tidyllm.client.collect import Collected
    from tidyllm.client.frame import Table

AskAtOnce: TypeAlias = "Callable[[IntoDataFrame, RunSettings], Asking]"
"""Says what the rows of a table ask, in a run with these settings."""
Show: TypeAlias = Callable[[tuple[Batch, ...]], None] | None
_LIVE = "-live"
"""What the name of the run ends with that asks what has failed in a batch."""
_WAY_ON = (
    "The batch goes on without us. Run the same line again: what was sent is not sent twice, and waited for again."
)
_LOG = logging.getLogger("tidyllm")


class ByBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A table that is to be answered by a batch."""

    prepared: Prepared
    table: "Table"
    settings: RunSettings
    at_once: AskAtOnce
    """For what fails in the batch."""
    answer: Answering


def by_batch(
    data: "IntoDataFrame",
    model: Model,
    *,
    prompt: Prompt,
    system: str | None,
    schema: Schema | None,
    settings: RunSettings,
    answer: Answering,
) -> ByBatch:
    """Return what a table asks by a batch; sends and writes nothing. Raises SettingError for what is wrong with it."""
    # Imported here, because it loads polars.
    from tidyllm.client.frame import read_table  # noqa: PLC0415

    told = SendSettings(name=settings.name, media=settings.media, prefix=settings.prefix, budget=settings.budget)

    def at_once(rows: "IntoDataFrame", its: RunSettings) -> Asking:
        return rows_of(rows, model, prompt=prompt, system=system, schema=schema, settings=its)

    return ByBatch(
        prepared=prepare(data, model, prompt=prompt, system=system, schema=schema, settings=told),
        table=read_table(data, schema=schema, prefix=settings.prefix),
        settings=settings,
        at_once=at_once,
        answer=answer,
    )


def chat_by_batch(asked: ByBatch) -> "IntoDataFrame":
    """Return the table with its answers, once its batch has ended.

    Raises KeyboardInterrupt, which says how to go on, and what `send_batch` and `wait_batch` raise.
    """
    prepared, transport = asked.prepared, transport_for(asked.prepared.model)
    with told_if_stopped(_WAY_ON), batch_bar(prepared.name, wanted=True) as show:
        folder = keep(prepared, transport.clock)
        drive(_brought(folder, asked, clock=transport.clock, show=show), transport)
    collected, failed = _collected(folder, asked)
    many = _rest(folder, asked, collected=collected, failed=failed)
    if many is not None:
        try:
            many.go()
        except (KeyboardInterrupt, TidyllmError) as stop:
            stop.results = _so_far(asked, collected)  # type: ignore[union-attr]
            raise
    return _table(asked, collected)


async def achat_by_batch(asked: ByBatch) -> "IntoDataFrame":
    """Do what `chat_by_batch` does."""
    prepared, transport = asked.prepared, transport_for(asked.prepared.model)
    with told_if_stopped(_WAY_ON), batch_bar(prepared.name, wanted=True) as show:
        folder = await asyncio.to_thread(keep, prepared, transport.clock)
        await adrive(_brought(folder, asked, clock=transport.clock, show=show), transport)
    collected, failed = await asyncio.to_thread(_collected, folder, asked)
    many = await asyncio.to_thread(_rest, folder, asked, collected=collected, failed=failed)
    if many is not None:
        try:
            await many.ago()
        except TidyllmError as stop:
            stop.results = _so_far(asked, collected)  # type: ignore[attr-defined]
            raise
    return await asyncio.to_thread(_table, asked, collected)


def _brought(folder: JobFolder, asked: ByBatch, *, clock: Clock, show: Show) -> Call[JobFolder]:
    """Send a job, wait for it, and have its results on disk."""
    model = asked.prepared.model
    job = yield from send(folder, model, clock=clock)
    target = Target(name=job.name, model=model, folder=folder, batch_ids=job.batch_ids)
    yield from wait(target, poll_s=POLL_S, timeout_s=None, clock=clock, show=show)
    return (yield from download(target, clock=clock))


def _collected(folder: JobFolder, asked: ByBatch) -> "tuple[Collected, list[int]]":
    """Return the answers of the batch, and the numbers of the rows that have none, from 0."""
    # Imported here, because it loads polars.
    from tidyllm.client.collect import Collected  # noqa: PLC0415

    job = OpenJob(folder=folder, record=folder.read(), model=asked.prepared.model)
    collected, failed = Collected(job.record.schema), set[int]()
    for number, answer in answers(job):
        collected.add(number - 1, answer)
        if answer.outcome in AGAIN:
            failed.add(number - 1)
        else:
            failed.discard(number - 1)
    return collected, sorted(failed)


def _rest(folder: JobFolder, asked: ByBatch, *, collected: "Collected", failed: list[int]) -> Many | None:
    """Return the run of what has failed in the batch; none where that is not wanted, or nothing is left to pay it."""
    settings = asked.settings
    if settings.mode != "auto" or not failed:
        return None
    budget = settings.budget
    if budget is not None:
        costs = collected.columns(asked.table.height, pending=None)["llm_cost"].drop_nulls()
        budget -= sum(costs.to_list())
        if budget <= 0:
            _LOG.warning("%s: its budget is spent; %d rows that failed are not asked again.", folder.name, len(failed))
            return None
    settings = msgspec.structs.replace(settings, name=folder.name + _LIVE, budget=budget)
    asking = asked.at_once(asked.table.taken(failed), settings)
    _LOG.info("%s: %d rows that failed in the batch are asked at once.", folder.name, len(failed))
    return Many(
        asking,
        answer=asked.answer,
        transport=transport_for(asking.model),
        sink=lambda number, answer: collected.add(failed[number], answer),
    )


def _so_far(asked: ByBatch, collected: "Collected") -> "IntoDataFrame":
    return asked.table.with_columns(collected.columns(asked.table.height, pending=None, prefix=asked.settings.prefix))


def _table(asked: ByBatch, collected: "Collected") -> "IntoDataFrame":
    """Return the table with its answers, and say in one line how it went; raise where that is wanted instead."""
    height, settings = asked.table.height, asked.settings
    columns = collected.columns(height, pending=None, prefix=settings.prefix)
    table = asked.table.with_columns(columns)
    outcomes = Counter(map(Outcome, columns[f"{settings.prefix}llm_status"]))
    told = in_one_line(Told(total=height, outcomes=outcomes, tokens=0, dollars=None))
    level = logging.INFO if outcomes[Outcome.OK] == height else logging.WARNING
    _LOG.log(level, "%s: %s.", asked.prepared.name, told)
    if settings.on_error == "row" or outcomes[Outcome.OK] == height:
        return table
    message = f"Not every row was answered: {told}. The exception's `results` has the whole table."
    raise PartlyFailedError(message, results=(table,))
