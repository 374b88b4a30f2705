"""Writing and publishing a batch's result files: from the journals, in input order, each request exactly once.

Bytes and ids depend on the batch, its input and its journals alone, so a finish that was interrupted is simply done
again.
"""

import contextlib
import itertools
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import msgspec

from tidyllm.core.batch import BatchStatus, BatchUsage, RequestCounts, UsageSum
from tidyllm.core.clock import Clock
from tidyllm.core.jsonl import Line
from tidyllm.journal import Kind, Place, Reader, first_answers
from tidyllm.server.blob import Blobs, BlobWriter
from tidyllm.server.lines import (
    CANCELLED,
    EXPIRED,
    LOST,
    digest,
    error_line,
    read_request,
    read_shard,
    usage_of_line,
)
from tidyllm.server.on_disk import on_disk
from tidyllm.server.patience import PutOff
from tidyllm.server.places import batch_journals
from tidyllm.server.records import BatchRecord, Ending, FileRecord, Shard
from tidyllm.server.settings import Settings
from tidyllm.server.thread import StoreThread

log = logging.getLogger(__name__)

OUTPUT_PURPOSE = "batch_output"


class Finisher:
    """Moves batches from finalizing or cancelling to their end."""

    def __init__(self, *, store: StoreThread, blobs: Blobs, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._settings = settings
        self._unwritable = PutOff(clock)

    async def run_once(self) -> bool:
        """Publish one batch; return whether there was one."""
        now = int(self._clock.now())
        grace = int(self._settings.cancel_grace_s)
        await self._store.run(lambda store: store.finalize_batches(now=now))
        waiting = self._unwritable.waiting()
        limit = len(waiting) + 1
        ripe = await self._store.run(lambda store: store.finishable_batches(stopped_before=now - grace, limit=limit))
        batch = next((batch for batch in ripe if batch.id not in waiting), None)
        if batch is None:
            return False
        try:
            await self._finish(batch)
        except Exception as error:  # noqa: BLE001 - it is told, and the batches behind this one go on
            self._unwritable.put_off(batch.id, error, what="The finish")
        else:
            self._unwritable.settle(batch.id)
        return True

    async def _finish(self, batch: BatchRecord) -> None:
        shards = await self._store.run(lambda store: store.shards(batch.id))
        async with contextlib.AsyncExitStack() as stack:
            files: list[_ResultFile] = []
            for word in ("output", "error"):
                files.append(_ResultFile(word, await on_disk(self._blobs.create)))
                # Not before the file has its row: bytes without one look abandoned.
                stack.push_async_callback(on_disk, files[-1].writer.close)
            try:
                ending = await on_disk(partial(self._write, batch, shards, files=files))
                await self._store.run(lambda store: store.publish(ending, now=int(self._clock.now())))
            except Exception:
                # The next try has keys of its own, and may need the space.
                for file in files:
                    await on_disk(partial(self._remove, file))
                raise

    def _remove(self, file: "_ResultFile") -> None:
        if file.blob is not None:
            self._blobs.delete(file.blob)

    def _write(self, batch: BatchRecord, shards: list[Shard], *, files: Sequence["_ResultFile"]) -> Ending:
        output, error = files
        counts, usage = self._copy(batch, shards, output=output, error=error)
        records = [self._file(batch, result) for result in files]
        return Ending(
            batch_id=batch.id,
            status=_end_of(batch),
            files=tuple(record for record in records if record is not None),
            output_file_id=records[0].id if records[0] else None,
            error_file_id=records[1].id if records[1] else None,
            counts=counts,
            usage=usage,
        )

    def _copy(
        self, batch: BatchRecord, shards: list[Shard], *, output: "_ResultFile", error: "_ResultFile"
    ) -> tuple[RequestCounts, BatchUsage]:
        answers = first_answers(batch_journals(self._settings.data, batch.id))
        completed = failed = unanswered = 0
        usage = UsageSum()
        code, message = _unanswered(batch)
        with Reader() as reader:
            for shard in shards:
                for number, line in self._lines(batch, shard, answers=answers):
                    place = answers.get(number)
                    if place is None:
                        unanswered += 1
                        custom_id = None if line is None else read_request(line.data).custom_id
                        error.write(
                            error_line(batch_id=batch.id, line=number, custom_id=custom_id, code=code, message=message)
                        )
                        continue
                    data = reader.read(place)
                    usage.add(usage_of_line(data))
                    if place.kind is Kind.ANSWERED:
                        completed += 1
                        output.write(data)
                    else:
                        failed += 1
                        error.write(data)
        lost = unanswered if (code, message) == LOST else 0
        if lost:
            log.error("%d answers of %s are not in its journals any more: somebody has damaged them.", lost, batch.id)
        total = sum(shard.requests for shard in shards)
        return RequestCounts(total=total, completed=completed, failed=failed + lost), usage.total()

    def _lines(
        self, batch: BatchRecord, shard: Shard, *, answers: Mapping[int, Place]
    ) -> Iterator[tuple[int, Line | None]]:
        """Yield a shard's line numbers in input order, with the line itself only where it must be, and can be, read."""
        numbers = range(shard.line_first, shard.line_first + shard.requests)
        if all(number in answers for number in numbers):
            yield from ((number, None) for number in numbers)
            return
        try:
            with self._blobs.open(str(batch.input_blob)) as file:
                file.seek(shard.offset)
                data = file.read(shard.length)
        except FileNotFoundError:
            log.error("The input of %s is gone; what has no answer ends without its custom_id.", batch.id)  # noqa: TRY400
            yield from ((number, None) for number in _supposed_lines(shard, answers=answers))
        else:
            yield from ((line.number, line) for line in read_shard(shard, data))

    def _file(self, batch: BatchRecord, result: "_ResultFile") -> FileRecord | None:
        if not result.size:
            return None
        file_id = f"file-{digest(f'{batch.id}/{result.word}', 12)}"
        # Each try has bytes of its own: what an earlier one left is removed as abandoned, whenever that may be.
        blob = result.blob = f"{file_id}.{secrets.token_hex(8)}"
        result.writer.commit(blob)
        now = int(self._clock.now())
        return FileRecord(
            id=file_id,
            project_id=batch.project_id,
            blob=blob,
            purpose=OUTPUT_PURPOSE,
            filename=f"{batch.id}_{result.word}.jsonl",
            bytes=result.size,
            created_at=now,
            expires_at=now + (batch.output_expires_after_s or self._settings.file_retention_s),
        )


class _ResultFile(msgspec.Struct):
    """A result file while it is written."""

    word: str
    writer: BlobWriter
    blob: str | None = None
    """The key of its bytes, once they may be there."""
    size: int = 0

    def write(self, data: bytes) -> None:
        self.writer.write(data)
        self.size += len(data)


def _supposed_lines(shard: Shard, *, answers: Mapping[int, Place]) -> list[int]:
    """Return as many line numbers as a shard has requests: those with an answer, and the first of the others."""
    answered = {number for number, place in answers.items() if place.shard == shard.number}
    others = (number for number in itertools.count(shard.line_first) if number not in answered)
    return sorted([*answered, *itertools.islice(others, shard.requests - len(answered))])


def _end_of(batch: BatchRecord) -> BatchStatus:
    if batch.status is BatchStatus.CANCELLING:
        return BatchStatus.CANCELLED
    return BatchStatus.EXPIRED if batch.lapsed else BatchStatus.COMPLETED


def _unanswered(batch: BatchRecord) -> tuple[str, str]:
    """Return the code and text of lines without an answer."""
    if batch.status is BatchStatus.CANCELLING:
        return CANCELLED
    return EXPIRED if batch.lapsed else LOST
