"""The answers of a named run on disk: each is written as it comes, and a later run reads them back.

.tidyllm/<name>/answers/<n>.log     the journal of the n-th run (journal.py); a record's line is the row's number, its
                                    data the answer as JSON, with the provider's own body as it came
"""

import asyncio
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

    def begin(self) -> None:
        """Make this run's file, durably. Raises JournalError."""
        self._journal.sync()

    def keep(self, number: int, answer: Answer) -> None:
        """Have an answer written with the others of this turn of the loop, so that it survives this process.

        It is durable soon after.
        """
        kind = Kind.ANSWERED if _is_answer(answer) else Kind.FAILED
        self._journal.append(encode(shard=0, epoch=self._epoch, line=number, kind=kind, data=_written(answer)))
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

    async def commit(self) -> None:
        """Make what is written durable, again and again, until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await asyncio.to_thread(self._journal.sync)
            except JournalError as error:
                _LOG.warning("%s Answers wait in memory, and nothing more is asked.", error)
            await asyncio.sleep(SYNC_EVERY_S)

    def sync(self) -> None:
        """Make durable what was kept until now. Raises JournalError where that cannot be."""
        self._journal.sync()

    def close(self) -> None:
        """Make all durable, and let go of the file. Raises JournalError where that cannot be."""
        try:
            self._journal.sync()
        finally:
            self._journal.close()

    def _next_place(self) -> Path:
        self._number += 1
        return self._folder / f"{self._number:06}.log"


def _is_answer(answer: Answer) -> bool:
    """Whether a row has what can be had; what could not even be read is kept, and asked again by the next run."""
    unread = answer.outcome is Outcome.INVALID and (answer.reply is None or answer.reply.text is None)
    return answer.reply is not None and not unread


def _written(answer: Answer) -> bytes:
    reply = answer.reply
    if reply is None or not reply.body:
        return msgspec.json.encode(_Kept(answer))
    bare = msgspec.structs.replace(answer, reply=msgspec.structs.replace(reply, body=b""))
    if _is_answer(answer):  # It was read as JSON.
        return msgspec.json.encode(_Kept(bare, body=msgspec.Raw(reply.body)))
    return msgspec.json.encode(_Kept(bare, text=reply.body.decode("utf-8", "replace")))


def _read(data: bytes) -> Answer:
    kept = msgspec.json.decode(data, type=_Kept)
    reply = kept.answer.reply or Reply()
    body = bytes(kept.body) if kept.text is None else kept.text.encode()
    return msgspec.structs.replace(kept.answer, reply=msgspec.structs.replace(reply, body=body))
