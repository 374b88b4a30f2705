"""The answers of a named run on disk: each is written as it comes, and a later run reads them back.

.tidyllm/<name>/answers/<n>.log     the journal of the n-th run (journal.py); a record's line is the row's number, its
                                    data the answer as JSON, with the provider's own body as it came
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tidyllm.core.disk import LocalDisk
from tidyllm.core.errors import JournalError
from tidyllm.core.reply import Answer, Outcome, Reply
from tidyllm.journal import Kind, Reader, encode, scan
from tidyllm.journals.disk import DiskJournal

_LOG = logging.getLogger("tidyllm")

SYNC_EVERY_S = 0.05
_NAME = re.compile(r"(\d+)\.log")


class _Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a record holds."""

    answer: Answer
    """Without the reply's body."""
    body: msgspec.Raw = msgspec.Raw()
    """The provider's answer, where it was JSON."""
    text: str | None = None
    """The same, where it was not."""


class RunJournal:
    """One run's journal, and those of the runs before it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        used = [int(found[1]) for path in folder.glob("*.log") if (found := _NAME.fullmatch(path.name))]
        self._number = max(used, default=0)
        self._epoch = self._number + 1
        self._journal = DiskJournal(self._next_place, disk=LocalDisk())
        self._dirty = asyncio.Event()
        self._last = asyncio.Event()
        """Set once nothing more comes."""
        self._committing: asyncio.Task[JournalError | None] | None = None
        self._flushing = False
        """Whether what was taken is about to be written."""

    def earlier(self) -> Iterator[tuple[int, Answer]]:
        """Yield the rows that earlier runs have had answered, by number, each once per run that answered it.

        Failures are not among them, nor what could not be read: they are asked again.
        """
        with Reader() as reader:
            for path in sorted(self._folder.glob("*.log")):
                for number, place in scan(path):
                    if place.kind is Kind.ANSWERED:
                        yield number, _read(reader.read(place))

    async def begin(self) -> None:
        """Make this run's file, durably; from now on until `end` it is kept so. Raises JournalError."""
        making = asyncio.ensure_future(self._sync())
        self._committing = asyncio.create_task(self._commit(making))
        await asyncio.shield(making)

    def keep(self, number: int, answer: Answer) -> None:
        """Have an answer written with the others of this turn of the loop, so that it survives this process.

        It is durable soon after.
        """
        good = _is_answer(answer)
        kind, data = Kind.ANSWERED if good else Kind.FAILED, _written(answer, is_json=good)
        self._journal.append(encode(shard=0, epoch=self._epoch, line=number, kind=kind, data=data))
        self._dirty.set()
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._journal.flush()

    @property
    def writable(self) -> bool:
        """Whether answers can be kept."""
        return self._journal.writable

    def end(self) -> None:
        """Take word that nothing more comes: the file is closed once all is durable."""
        self._last.set()
        self._dirty.set()

    async def synced(self) -> None:
        """Wait until what was kept so far is durable. Raises JournalError where that cannot be."""
        await self._sync()

    async def closed(self) -> None:
        """Wait until all is durable and the file closed. Raises JournalError where that cannot be."""
        if self._committing is not None and (failure := await asyncio.shield(self._committing)) is not None:
            raise failure

    async def _sync(self) -> None:
        try:
            await asyncio.to_thread(self._journal.sync)
        except RuntimeError:  # The interpreter is ending and lends no more threads; nobody is kept waiting any more.
            self._journal.sync()

    async def _commit(self, making: asyncio.Future[None]) -> JournalError | None:
        """Make what is written durable, again and again, until nothing more comes; then let go of the file.

        Return what prevented it in the end: nobody may be waiting any more to whom it could be raised.
        """
        try:
            await making
            while not self._last.is_set():
                await self._dirty.wait()
                self._dirty.clear()
                try:
                    await self._sync()
                except JournalError as error:
                    _LOG.warning("%s Answers wait in memory, and nothing more is asked.", error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._last.wait(), SYNC_EVERY_S)
            await self._sync()
        except JournalError as error:
            if making.exception() is None:
                _LOG.warning("%s The last answers are not kept.", error)
            return error
        finally:
            self._journal.close()
        return None

    def _next_place(self) -> Path:
        self._number += 1
        return self._folder / f"{self._number:06}.log"


def _is_answer(answer: Answer) -> bool:
    """Whether a row has what can be had; what could not even be read is kept, and asked again by the next run."""
    unread = answer.outcome is Outcome.INVALID and (answer.reply is None or answer.reply.text is None)
    return answer.reply is not None and not unread


def _written(answer: Answer, *, is_json: bool) -> bytes:
    """Return what a record holds; `is_json` says that the answer was read as JSON."""
    reply = answer.reply
    if reply is None or not reply.body:
        return msgspec.json.encode(_Kept(answer))
    bare = msgspec.structs.replace(answer, reply=msgspec.structs.replace(reply, body=b""))
    if is_json:
        return msgspec.json.encode(_Kept(bare, body=msgspec.Raw(reply.body)))
    return msgspec.json.encode(_Kept(bare, text=reply.body.decode("utf-8", "replace")))


def _read(data: bytes) -> Answer:
    kept = msgspec.json.decode(data, type=_Kept)
    reply = kept.answer.reply or Reply()
    body = bytes(kept.body) if kept.text is None else kept.text.encode()
    return msgspec.structs.replace(kept.answer, reply=msgspec.structs.replace(reply, body=body))
