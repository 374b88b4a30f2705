"""Many questions as one run: what a table or a list asks, the job that a name makes of it, and how it went."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tidyllm.client.capabilities import chat_of, name_of
from tidyllm.client.changed import refuse_change
from tidyllm.client.collecting import seldom_collecting
from tidyllm.client.disk import replacing
from tidyllm.client.jobs import JobFolder, JobRecord, canonical, job_folder, job_key
from tidyllm.client.progress import run_bar
from tidyllm.client.rows import Prompt, row_ids
from tidyllm.client.run import Answering, Question, Run, Told
from tidyllm.client.run_journal import RunJournal
from tidyllm.client.run_options import RunSettings
from tidyllm.client.table_talks import Asks, Talks, digest_of, table_talks
from tidyllm.core.errors import JobError, SettingError
from tidyllm.core.message import Conversation
from tidyllm.core.reply import Answer, Outcome
from tidyllm.core.schema import Schema
from tidyllm.provider import Model
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.drive import Transport

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

    from tidyllm.client.frame import Table

_LOG = logging.getLogger("tidyllm")


Show: TypeAlias = Callable[[Told], None] | None


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Many questions to one model, checked."""

    model: Model
    settings: RunSettings
    talks: Talks
    schema: Schema | None
    """What the answers must look like."""
    parts: dict[str, str]
    """What the job is made of, where the run has a name."""
    table: "Table | None" = None
    """The table whose rows ask them."""

    @property
    def height(self) -> int:
        """Return how many there are."""
        return self.talks.count


def rows_of(
    data: "IntoDataFrame",
    model: Model,
    *,
    prompt: Prompt,
    system: str | None,
    schema: Schema | None,
    settings: RunSettings,
) -> Asking:
    """Return what a table asks; sends nothing. Raises SettingError for the first row that cannot be asked.

    Images and files in its columns are read as each row is asked, so that they are not all in memory; that they are
    there, and are taken, is seen before.
    """
    # Imported here, because it loads polars.
    from tidyllm.client.frame import read_table  # noqa: PLC0415

    table = read_table(data, schema=schema, prefix=settings.prefix)
    asks = Asks(prompt=prompt, system=system, media=settings.media)
    talks = table_talks(table, asks, model=model, chat=chat_of(model), kept=settings.name is not None)
    parts: dict[str, object] = {
        **asks.parts,
        "columns": table.columns,
        "data": None if settings.name is None else table.digest(),
    }
    return _asking(model, settings, talks=talks, schema=schema, parts=parts, table=table)


def talks_of(talks: Sequence[Conversation], model: Model, *, schema: Schema | None, settings: RunSettings) -> Asking:
    """Return what a list of conversations asks; sends nothing. Raises SettingError for what only a table can have."""
    if settings.prefix:
        raise SettingError("prefix= is for tables: a list has no columns.")
    several = Talks(len(talks), lambda: talks, lambda: talks)
    return _asking(model, settings, talks=several, schema=schema, parts={}, table=None)


def _asking(
    model: Model,
    settings: RunSettings,
    *,
    talks: Talks,
    schema: Schema | None,
    parts: Mapping[str, object],
    table: "Table | None",
) -> Asking:
    # All are looked at, so that a row that cannot be asked is told before anything is sent.
    called, whole = "Conversation" if table is None else "Row", settings.name is not None
    seen = talks.checked(chat_of(model), model=name_of(model), whole=whole, called=called)
    known: dict[str, object] = {
        "mode": "live",
        "provider": model.provider.name,
        "base_url": model.base_url,
        "model": model.chat_name,
        "api": chat_of(model).api,
        "parameters": model.params,
        **parts,
        "schema": None if schema is None else schema.canonical(),
        "rows": talks.count,
        "asked": digest_of(seen),
    }
    written = {part: canonical(value) for part, value in known.items() if value is not None}
    return Asking(model=model, settings=settings, talks=talks, schema=schema, parts=written, table=table)


class Many:
    """One run over many questions, with its job where it has a name."""

    def __init__(
        self,
        asking: Asking,
        *,
        answer: Answering,
        transport: Transport,
        sink: Callable[[int, Answer], object],
    ) -> None:
        self._asking = asking
        self._transport = transport
        self._journal: RunJournal | None = None
        self._had = 0
        """How many were answered by earlier runs."""
        self.run = Run(asking.model, answer=answer, transport=transport, settings=asking.settings, sink=sink)

    def go(self) -> None:
        """Have them answered, from any thread. KeyboardInterrupt says how to go on."""
        with self._begun() as (questions, show):
            try:
                BACKGROUND.run(self.run.ask(questions, total=self._asking.height, show=show))
            except KeyboardInterrupt as stop:
                stop.add_note(self._how_to_go_on())
                raise
        self._tell()

    async def ago(self) -> None:
        """Do what `go` does; CancelledError says how to go on, as asyncio.run raises it for Ctrl-C."""
        with self._begun() as (questions, show):
            asking = self.run.ask(questions, total=self._asking.height, show=show)
            try:
                await asyncio.wrap_future(BACKGROUND.start(asking))
            except asyncio.CancelledError as stop:
                stop.add_note(self._how_to_go_on())
                raise
        self._tell()

    @contextlib.contextmanager
    def _begun(self) -> Iterator[tuple[Iterable[Question], Show]]:
        """Yield the questions that are still to be answered, and what shows how far the run is."""
        name = self._asking.settings.name
        with contextlib.ExitStack() as stack:
            if name is not None:
                folder = job_folder(name)
                stack.enter_context(folder.locked())
                _intend(folder, self._asking, now=self._transport.clock.now())
                self._journal = RunJournal(folder.answers)
            stack.enter_context(seldom_collecting())
            missing = self._missing()
            show = stack.enter_context(run_bar(name or repr(self._asking.model)))
            if any(missing):
                self.run.journal = self._journal
            yield self._questions(missing), show

    def _missing(self) -> bytearray:
        """Return which questions are to be asked; the answers that earlier runs have had are taken."""
        missing = bytearray(b"\x01") * self._asking.height
        for number, answer in () if self._journal is None else self._journal.earlier():
            if number < len(missing) and missing[number]:
                missing[number] = False
                self._had += 1
                self.run.had(number, answer)
        return missing

    def _questions(self, missing: bytearray) -> Iterator[Question]:
        if any(missing):
            every = self.run.dedups
            numbered = enumerate(self._asking.talks.each())
            yield from ((number, talk) for number, talk in numbered if every or missing[number])

    def _tell(self) -> None:
        """Say in one line how it went."""
        told = self.run.told
        level = logging.INFO if told.outcomes[Outcome.OK] == self._asking.height else logging.WARNING
        name = self._asking.settings.name or repr(self._asking.model)
        earlier = f" Earlier runs had answered {self._had:,} of them." if self._had else ""
        stopped = f" {self.run.stopped}" if self.run.stopped else ""
        _LOG.log(level, "%s: %s.%s%s", name, in_one_line(told), earlier, stopped)

    def _how_to_go_on(self) -> str:
        said = f"Stopped: {in_one_line(self.run.told)}."
        if self._asking.settings.name is None:
            return f"{said} The exception's `results` has what came; a run with a name= can be gone on with."
        kept = "What came is kept, and what is under way as it comes"
        return f"{said} {kept}: run the same line again, and only what is missing is asked."


def in_one_line(told: Told) -> str:
    """Return how many rows became what: `10,000 rows: 9,700 ok, 200 invalid, 100 pending`."""
    counts = dict(told.outcomes)
    if (pending := told.total - told.done) > 0:
        counts[Outcome.PENDING] = pending
    listed = ", ".join(f"{counts[outcome]:,} {outcome.value}" for outcome in Outcome if counts.get(outcome))
    return f"{told.total:,} rows: {listed or 'none'}"


def _intend(folder: JobFolder, asking: Asking, *, now: float) -> None:
    """Write down what a named run is about, before anything of it is sent."""
    if folder.exists:
        record = folder.read()
        refuse_change(record, asking.parts, where=lambda: _difference(folder, asking, record=record))
        return
    if folder.answers.exists():
        # To whose questions they are, nobody can tell any more.
        raise JobError(
            f"{folder.path} holds answers, but its job.json is gone: move the folder away, or give another name.",
            name=folder.name,
        )
    if asking.table is not None:
        with folder.usable(), replacing(folder.rows) as part:
            asking.table.save(part, row_ids(asking.height))
    record = JobRecord(
        name=folder.name,
        key=job_key(asking.parts),
        parts=asking.parts,
        provider=asking.model.provider.name,
        base_url=asking.model.base_url,
        model=asking.model.chat_name,
        kind=None if asking.table is None else asking.table.kind,
        created_at=now,
        remotes=(),
    )
    folder.write(record)


def _difference(folder: JobFolder, asking: Asking, *, record: JobRecord) -> str | None:
    """Say where the first difference is from the rows that a job has saved, if that is known."""
    # Imported here, because it loads polars.
    from tidyllm.client.batch_frame import row_that_differs  # noqa: PLC0415

    return None if asking.table is None else row_that_differs(asking.table, folder.rows, record=record)
