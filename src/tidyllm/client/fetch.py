"""Fetching a job: every result file onto the disk first, then read line by line and joined to the rows by id."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tidyllm.client.jobs import JobFolder, JobRecord, Remote, file_name, job_folder, job_key
from tidyllm.client.rows import row_ids
from tidyllm.client.targets import Target, batch_chat_of, batches_of, files_of
from tidyllm.core.batch import Batch, BatchStatus
from tidyllm.core.clock import Clock
from tidyllm.core.disk import sync_folder
from tidyllm.core.errors import BatchFailedError, NotDoneError, NotFoundError
from tidyllm.core.jsonl import read_lines
from tidyllm.core.reply import Answer, Outcome
from tidyllm.core.wire import Call
from tidyllm.provider import Model

if TYPE_CHECKING:
    import polars as pl

_NO_LINE = {
    BatchStatus.CANCELLED: (Outcome.CANCELLED, "The batch was cancelled before this row was run."),
    BatchStatus.EXPIRED: (Outcome.EXPIRED, "The batch's time was up before this row was run."),
}
"""What a row is told that no result line speaks of, by how its batch ended."""
_LOST = (Outcome.FAILED, "The batch has ended, and what there is of its results has no line for this row.")
_AWAITED = (Outcome.PENDING, "The batch has ended, but its result files are not there yet: fetch again.")
_LOG = logging.getLogger("tidyllm")


def download(target: Target, *, clock: Clock) -> Call[JobFolder]:
    """Return the folder of a job whose result files are all on disk; fetches them if they are not.

    A batch that no job here knows becomes one, named for its id. Raises NotDoneError while a batch has not ended.
    """
    folder = target.folder
    if folder is None:
        folder = yield from _adopt(target, clock)
    if all(_is_here(folder, remote, model=target.model) for remote in folder.read().remotes):
        return folder
    with folder.locked():
        record = folder.read()
        for index, remote in enumerate(record.remotes):
            if not _is_here(folder, remote, model=target.model):
                changed = yield from _download_one(folder, remote, model=target.model)
                remotes = (*record.remotes[:index], changed, *record.remotes[index + 1 :])
                record = msgspec.structs.replace(record, remotes=remotes)
                folder.write(record)
    return folder


def tabulate(folder: JobFolder, model: Model) -> "pl.DataFrame":
    """Return the rows of a job with their answers, from what is on disk alone.

    Raises BatchFailedError where the provider refused the batch as a whole.
    """
    # Imported here, because it loads polars.
    from tidyllm.client.frame import answers_by_id, join_answers  # noqa: PLC0415

    record = folder.read()
    for remote in record.remotes:
        _refuse_failed(folder, remote, model=model)
    answers = _read_answers(folder, record, model=model)
    if record.kind is None:
        return answers_by_id(answers.values())
    return join_answers(folder.rows, record.kind, answers=_reconcile(answers, record))


def _adopt(target: Target, clock: Clock) -> Call[JobFolder]:
    """Make a job of a batch that was sent from elsewhere; its rows are unknown."""
    (batch_id,) = target.batch_ids
    batch = yield from batches_of(target.model).get(target.model.site, batch_id)
    _refuse_unended(target.name, batch)
    folder = job_folder(file_name(batch_id))
    with folder.locked():
        folder.write(
            JobRecord(
                name=folder.name,
                key=job_key({}),
                parts={},
                provider=target.model.provider.name,
                base_url=target.model.base_url,
                model=target.model.chat_name,
                kind=None,
                created_at=clock.now(),
                remotes=(Remote(token="", requests=batch.counts.total, batch=batch),),
            )
        )
    return folder


def _is_here(folder: JobFolder, remote: Remote, *, model: Model) -> bool:
    """Return whether a batch's results were downloaded, and nobody has removed all of them since."""
    if not remote.downloaded or remote.batch is None:
        return False
    files = batches_of(model).result_files(remote.batch)
    return not files or any((folder.raw(remote.batch.id) / file.name).exists() for file in files)


def _download_one(folder: JobFolder, remote: Remote, *, model: Model) -> Call[Remote]:
    batches, batch = batches_of(model), remote.batch
    assert batch is not None  # noqa: S101 - a target has no other
    if not batch.status.ended or not batches.result_files(batch):
        batch = yield from batches.get(model.site, batch.id)
    _refuse_unended(folder.name, batch)
    raw, files = folder.raw(batch.id), batches.result_files(batch)
    gone: list[NotFoundError] = []
    for file in files:
        try:
            yield from files_of(model).download(model.site, file.id, sink=raw / file.name)
        except NotFoundError as fault:
            gone.append(fault)
            _LOG.warning("%s: %s of batch %s is gone: %s", folder.name, file.name, batch.id, fault)
    sync_folder(raw)
    if gone and len(gone) == len(files):
        gone[0].add_note("Providers keep result files for a while only: OpenAI for 30 days.")
        raise gone[0]
    # A completed batch without any file has been seen: its files may yet turn up; spec/openai-batch 10.
    final = bool(files) or batch.status is not BatchStatus.COMPLETED
    return msgspec.structs.replace(remote, batch=batch, downloaded=final)


def _refuse_unended(name: str, batch: Batch) -> None:
    if batch.status.ended:
        return
    word = batch.status_word or batch.status.value
    raise NotDoneError(f"{name} has not ended: the batch {batch.id} is {word}. Wait for it.", name=name, status=word)


def _refuse_failed(folder: JobFolder, remote: Remote, *, model: Model) -> None:
    batch = remote.batch
    if batch is None or batch.status is not BatchStatus.FAILED or batches_of(model).result_files(batch):
        return
    problems = tuple(str(problem) for problem in batch.problems)
    listed = "".join(f"\n  {problem}" for problem in problems) or " It does not say why."
    raise BatchFailedError(
        f"{model.provider.name} refused the batch {batch.id}; nothing was run.{listed}\n"
        f"Send the rows again under another name, or delete {folder.path} first.",
        name=folder.name,
        problems=problems,
    )


def _read_answers(folder: JobFolder, record: JobRecord, *, model: Model) -> dict[str, Answer]:
    """Return what the result files say, by request; of two answers to one request the paid one stays."""
    answers: dict[str, Answer] = {}
    doubles = 0
    for answer in _raw_answers(folder, record, model=model):
        known = answers.get(answer.custom_id)
        doubles += known is not None
        if known is None or (known.reply is None and answer.reply is not None):
            answers[answer.custom_id] = answer
    if doubles:
        _LOG.warning("%s: %d result lines answer a request that another line answers too.", record.name, doubles)
    return answers


def _raw_answers(folder: JobFolder, record: JobRecord, *, model: Model) -> Iterator[Answer]:
    batches = batches_of(model)
    for batch in (remote.batch for remote in record.remotes if remote.batch is not None):
        for file in batches.result_files(batch):
            path = folder.raw(batch.id) / file.name
            if path.exists():
                yield from _answers_in(path, model)


def _answers_in(path: Path, model: Model) -> Iterator[Answer]:
    batches, read = batches_of(model), batch_chat_of(model).read
    with path.open("rb") as lines:
        for line in read_lines(lines):
            try:
                yield batches.read_line(line.data, read=read)
            except Exception as fault:  # noqa: BLE001 - whatever is wrong with one line must not cost the others
                _LOG.warning("%s, line %d cannot be read: %s", path, line.number, fault)


def _reconcile(answers: dict[str, Answer], record: JobRecord) -> dict[str, Answer]:
    """Return one answer for each request of the job; says in the log what is missing and what is too much."""
    expected = row_ids(sum(remote.requests for remote in record.remotes))
    outcome, error = _fate_of_missing(record.remotes[-1])
    missing = [custom_id for custom_id in expected if custom_id not in answers]
    if missing:
        _LOG.warning("%s: no result line for %d of %d rows: %s", record.name, len(missing), len(expected), error)
    if strange := answers.keys() - set(expected):
        _LOG.warning("%s: %d result lines answer requests that are not ours.", record.name, len(strange))
    lost = {custom_id: Answer(custom_id=custom_id, outcome=outcome, error=error) for custom_id in missing}
    return answers | lost


def _fate_of_missing(remote: Remote) -> tuple[Outcome, str]:
    if not remote.downloaded or remote.batch is None:
        return _AWAITED
    return _NO_LINE.get(remote.batch.status, _LOST)
