"""The results of a job's batches, read from its folder alone: which answer each row has, if any, and what is missing.

A row may be answered more than once, as when a batch was sent again: what was paid for stays, else the newest counts.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from tidyllm.client import requests
from tidyllm.client.capabilities import batches_of
from tidyllm.client.jobs import JobRecord, OpenJob, Remote
from tidyllm.client.judging import Judge, judge_of
from tidyllm.core.batch import BatchStatus
from tidyllm.core.errors import JobError, TidyllmError
from tidyllm.core.jsonl import read_lines
from tidyllm.core.reply import Answer, Outcome
from tidyllm.dialect import ResultFile, ResultItem

_NO_LINE = {
    BatchStatus.CANCELLED: (Outcome.CANCELLED, "The batch was cancelled before this row was run."),
    BatchStatus.EXPIRED: (Outcome.EXPIRED, "The batch's time was up before this row was run."),
}
"""What a row is told that no result speaks of, by how its batch ended."""
_LOST = (Outcome.FAILED, "The batch has ended, and what there is of its results has no line for this row.")
_UNPLACED = "No result is known to be this row's, and {} has some that cannot be read: its answer may be among them."
_AWAITED = (Outcome.PENDING, "The batch has ended, but its result files are not there yet: fetch again.")
_RUNNING = (Outcome.PENDING, "The batch has not ended.")
_UNSENT = (Outcome.PENDING, "This row was not sent yet.")
_GIVEN_UP = (Outcome.CANCELLED, "The job was cancelled before this row was sent.")
_NOTHING, _FAILED, _UNREAD, _ANSWERED = range(4)
_LOG = logging.getLogger("tidyllm")


class _Named(msgspec.Struct, frozen=True):
    """As much of a request as says what it is called."""

    custom_id: str


class _Numbering(msgspec.Struct, frozen=True):
    """The rows of a job by the ids of their requests."""

    highest: int
    """Number of the last one."""
    number_of: Callable[[str], int | None]
    """Gives the number, from 1, of the row that an id means; null where it means none of the job's."""
    id_of: Callable[[int], str]
    """Gives the id of the request of a row."""


class Results:
    """The results of all batches of a job as they came."""

    def __init__(self, job: OpenJob) -> None:
        self._job = job
        self._batches = batches_of(job.model)
        self._id = re.compile(rb'"(%s-\d+)"' % re.escape(job.record.ids.encode()))
        """The id of one of our requests, as it stands in JSON."""
        self.unplaced: dict[str, str] = {}
        """By the batch's id, the file that has results of which nobody can say whose they are; known once all is read.
        """

    def answers(self, judge: Judge) -> Iterator[Answer]:
        """Yield what the results say, the newest batch's last; a row whose result cannot be read is invalid."""
        for remote in self._job.record.remotes:
            for batch in (*remote.refused, *filter(None, (remote.batch,))):
                for file in self._batches.result_files(batch):
                    path = self._job.folder.raw(batch.id) / file.name
                    if path.exists():
                        yield from self._read(path, file, batch_id=batch.id, judge=judge)

    def _read(self, path: Path, file: ResultFile, *, batch_id: str, judge: Judge) -> Iterator[Answer]:
        place = path.relative_to(self._job.folder.path).as_posix()
        unread, first = 0, ""
        for number, data in self._raw(path, file, batch_id=batch_id, place=place):
            try:
                item = self._batches.read_item(data)
            except Exception as fault:  # noqa: BLE001 - whatever is wrong with one line must not cost the others
                unread += 1
                first = first or f"line {number}: {fault}"
                whose = {*self._id.findall(data)}
                if len(whose) != 1:
                    self.unplaced[batch_id] = place
                    continue
                error = f"Line {number} of {place} came for this row, and cannot be read: {fault}"
                item = ResultItem(custom_id=whose.pop().decode(), outcome=Outcome.INVALID, error=error)
            answer = judge(item)
            if answer.outcome is Outcome.INVALID and not answer.paid:
                answer = msgspec.structs.replace(answer, unread=place)
            yield answer
        if unread:
            _LOG.warning("%s: %d results cannot be read, the first of them %s", path, unread, first)

    def _raw(self, path: Path, file: ResultFile, *, batch_id: str, place: str) -> Iterator[tuple[int, bytes]]:
        """Yield the results of a file, numbered from 1."""
        if not file.document:
            with path.open("rb") as lines:
                yield from ((line.number, line.data) for line in read_lines(lines))
            return
        try:
            whole = list(self._batches.items(path.read_bytes()))
        except TidyllmError as fault:
            self.unplaced[batch_id] = place
            _LOG.warning("%s cannot be read: %s", path, fault)
            return
        yield from enumerate(whole, 1)


def answers(job: OpenJob) -> Iterator[tuple[int, Answer]]:
    """Yield what became of each row that asked, by its number from 1; of two for one row the later counts.

    Says in the log how many results come to a row twice, and how many to none. Raises JobError where all are another
    job's.
    """
    record, results, rows = job.record, Results(job), _numbering(job)
    # By number, how much what a row has counts: _NOTHING at first.
    ranks = bytearray(rows.highest + 1)
    twice = strangers = 0
    for one in results.answers(judge_of(record, job.model)):
        number = rows.number_of(one.custom_id)
        if number is None:
            strangers += 1
            continue
        # One that failed is answered later where it was sent again.
        twice += ranks[number] == _ANSWERED
        if counts_more(one, ranks[number]):
            ranks[number] = rank_of(one)
            yield number, one
    if twice:
        _LOG.warning("%s: %d result lines answer a request that another line answers too.", record.name, twice)
    if strangers:
        _LOG.warning("%s: %d result lines answer requests that are not ours.", record.name, strangers)
    if strangers and not any(ranks):
        raise JobError(
            f"{record.name}: none of its {strangers} results answers a request of this job, so that its batch must be "
            "another's. Find the right one with list_batches, and remove the folder of this job before you send again.",
            name=record.name,
        )
    yield from _fates(record, ranks, id_of=rows.id_of, unplaced=results.unplaced)


def rank_of(answer: Answer) -> int:
    """Return how much an answer counts among those to one row."""
    if answer.paid:
        return _ANSWERED
    return _FAILED if answer.unread is None else _UNREAD


def counts_more(answer: Answer, rank: int) -> bool:
    """Whether an answer takes the place of an earlier one of that rank: the first that was paid stays."""
    return rank_of(answer) > rank or rank_of(answer) == rank != _ANSWERED


def _numbering(job: OpenJob) -> _Numbering:
    """Return what tells, of the id of a request, which row asked it.

    Raises JobError where that stands in a file that cannot be read.
    """
    record = job.record
    if not record.ready_made:
        head, height = f"{record.ids}-", record.height
        return _Numbering(
            height, lambda custom_id: _number(custom_id, head, height=height), lambda number: f"{head}{number}"
        )
    ids: dict[int, str] = {}
    with job.folder.usable():
        for remote in record.remotes:
            if remote.again:
                continue
            for number, line in requests.numbered(job.folder, remote):
                ids[number] = _custom_id(line, job.folder.path / remote.file, name=record.name)
    return _Numbering(
        max(ids, default=0), {custom_id: number for number, custom_id in ids.items()}.get, ids.__getitem__
    )


def _fates(
    record: JobRecord, ranks: bytearray, *, id_of: Callable[[int], str], unplaced: Mapping[str, str]
) -> Iterator[tuple[int, Answer]]:
    """Yield what is told to each row that asked, and that no result speaks of: whose rank is _NOTHING."""
    missing: dict[str, int] = {}
    # Of a row that was sent again, the newest batch tells.
    told = bytearray(ranks)
    for remote in reversed(record.remotes):
        outcome, error = _fate(record, remote)
        unread = _may_be_in(remote, unplaced)
        if unread is not None:
            outcome, error = Outcome.INVALID, _UNPLACED.format(unread)
        for number in remote.numbers:
            if not told[number]:
                told[number] = 1
                missing[error] = missing.get(error, 0) + 1
                yield number, Answer(custom_id=id_of(number), outcome=outcome, error=error, unread=unread)
    for error, count in missing.items():
        _LOG.warning("%s: no result line for %d of %d rows: %s", record.name, count, record.height, error)


def _may_be_in(remote: Remote, unplaced: Mapping[str, str]) -> str | None:
    """Return the file in which a batch's rows without a result may have one, though nobody can read it."""
    batch = remote.batch
    if batch is None or not batch.status.ended or not remote.downloaded:
        return None
    return unplaced.get(batch.id)


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


def _custom_id(line: bytes, path: Path, *, name: str) -> str:
    try:
        return msgspec.json.decode(line, type=_Named).custom_id
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise JobError(f"{path} is damaged: {fault}. Put it back as it was.", name=name) from fault


def _number(custom_id: str, head: str, *, height: int) -> int | None:
    """Return the number of the row that an id means; null where it means none of ours."""
    digits = custom_id[len(head) :]
    if not (custom_id.startswith(head) and digits.isdecimal() and digits.isascii() and len(digits) <= len(str(height))):
        return None
    number = int(digits)
    return number if 1 <= number <= height and str(number) == digits else None
