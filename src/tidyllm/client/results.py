"""The results of a job's batches, read from its folder alone: which answer each row has, if any, and what is missing.

A row may be answered more than once, as when a batch was sent again: what was paid for stays, else the newest counts.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from tidyllm.client.jobs import JobRecord, OpenJob, Remote
from tidyllm.client.targets import batches_of
from tidyllm.core.batch import BatchStatus
from tidyllm.core.errors import TidyllmError
from tidyllm.core.jsonl import read_lines
from tidyllm.core.reply import Answer, Outcome
from tidyllm.dialect import BatchDialect, ResultFile, ResultItem

_NO_LINE = {
    BatchStatus.CANCELLED: (Outcome.CANCELLED, "The batch was cancelled before this row was run."),
    BatchStatus.EXPIRED: (Outcome.EXPIRED, "The batch's time was up before this row was run."),
}
"""What a row is told that no result speaks of, by how its batch ended."""
_LOST = (Outcome.FAILED, "The batch has ended, and what there is of its results has no line for this row.")
_AWAITED = (Outcome.PENDING, "The batch has ended, but its result files are not there yet: fetch again.")
_RUNNING = (Outcome.PENDING, "The batch has not ended.")
_UNSENT = (Outcome.PENDING, "This row was not sent yet.")
_GIVEN_UP = (Outcome.CANCELLED, "The job was cancelled before this row was sent.")
_NOTHING, _FAILED, _ANSWERED = range(3)
_LOG = logging.getLogger("tidyllm")


def items(job: OpenJob) -> Iterator[ResultItem]:
    """Yield the results of all batches as they came, the newest batch's last."""
    batches = batches_of(job.model)
    for remote in job.record.remotes:
        for batch in (*remote.refused, *filter(None, (remote.batch,))):
            for file in batches.result_files(batch):
                path = job.folder.raw(batch.id) / file.name
                if path.exists():
                    yield from _items_in(path, file, batches=batches)


def by_row(record: JobRecord, found: Iterable[Answer]) -> Iterator[tuple[int | None, Answer]]:
    """Yield what each row has, by its number from 1, some of them more than once: then the last one counts.

    What answers none of the job's requests has no number. Says in the log what answers twice, and what nobody.
    """
    height, head = record.height, f"{record.ids}-"
    best = bytearray(height + 1)
    twice = strangers = 0
    for one in found:
        number = _number(one.custom_id, head, height=height)
        if number is None:
            strangers += 1
            yield None, one
            continue
        rank = _ANSWERED if one.paid else _FAILED
        # One that failed is answered later where it was sent again.
        twice += best[number] == _ANSWERED
        if rank > best[number] or rank == best[number] == _FAILED:
            best[number] = rank
            yield number, one
    if twice:
        _LOG.warning("%s: %d result lines answer a request that another line answers too.", record.name, twice)
    if strangers:
        _LOG.warning("%s: %d result lines answer requests that are not ours.", record.name, strangers)


def fates(record: JobRecord, has: bytearray) -> Iterator[tuple[int, Outcome, str]]:
    """Yield what is told to each row that asked, and that no result speaks of; `has` says by number which have one."""
    missing: dict[str, int] = {}
    # Of a row that was sent again, the newest batch tells.
    told = bytearray(has)
    for remote in reversed(record.remotes):
        outcome, error = _fate(record, remote)
        for number in remote.numbers:
            if not told[number]:
                told[number] = 1
                missing[error] = missing.get(error, 0) + 1
                yield number, outcome, error
    for error, count in missing.items():
        _LOG.warning("%s: no result line for %d of %d rows: %s", record.name, count, record.height, error)


def _fate(record: JobRecord, remote: Remote) -> tuple[Outcome, str]:
    if remote.batch is None:
        return _GIVEN_UP if record.cancelled else _UNSENT
    if not remote.batch.status.ended:
        return _RUNNING
    if remote.batch.status is BatchStatus.FAILED:
        why = "; ".join(map(str, remote.batch.problems)) or "it does not say why"
        return Outcome.FAILED, f"The provider refused the batch as a whole: {why}."
    if not remote.downloaded:
        return _AWAITED
    return _NO_LINE.get(remote.batch.status, _LOST)


def _number(custom_id: str, head: str, *, height: int) -> int | None:
    """Return the number of the row that an id means; null where it means none of ours."""
    digits = custom_id[len(head) :]
    if not (custom_id.startswith(head) and digits.isdecimal() and digits.isascii() and len(digits) <= len(str(height))):
        return None
    number = int(digits)
    return number if 1 <= number <= height and str(number) == digits else None


def _items_in(path: Path, file: ResultFile, *, batches: BatchDialect) -> Iterator[ResultItem]:
    if file.document:
        try:
            whole = list(enumerate(batches.items(path.read_bytes()), 1))
        except TidyllmError as fault:
            _LOG.warning("%s cannot be read: %s", path, fault)
            return
        yield from _read_each(path, iter(whole), batches=batches)
        return
    with path.open("rb") as lines:
        yield from _read_each(path, ((line.number, line.data) for line in read_lines(lines)), batches=batches)


def _read_each(path: Path, numbered: Iterator[tuple[int, bytes]], *, batches: BatchDialect) -> Iterator[ResultItem]:
    for number, data in numbered:
        try:
            item = batches.read_item(data)
        except Exception as fault:  # noqa: BLE001 - whatever is wrong with one line must not cost the others
            _LOG.warning("%s, line %d cannot be read: %s", path, number, fault)
            continue
        yield item
