"""Fetching a job: every result file onto the disk first, and only then read, into a table or conversations."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from tidyllm.client.capabilities import batches_of
from tidyllm.client.jobs import JobFolder, JobRecord, OpenJob, Remote, file_name, job_folder, job_key
from tidyllm.client.judging import judge_of
from tidyllm.client.results import Results, answers
from tidyllm.client.targets import Target
from tidyllm.core.batch import Batch, BatchStatus
from tidyllm.core.clock import Clock
from tidyllm.core.disk import sync_folder
from tidyllm.core.errors import BatchFailedError, JobError, NotDoneError, NotFoundError
from tidyllm.core.reply import Answer
from tidyllm.core.wire import Call
from tidyllm.dialect import ResultFile
from tidyllm.provider import Model

if TYPE_CHECKING:
    import polars as pl

    from tidyllm.core.message import Conversation

_LOG = logging.getLogger("tidyllm")


def download(target: Target, *, clock: Clock, partial: bool = False) -> Call[JobFolder]:
    """Return the folder of a job whose result files are all on disk; fetches them if they are not.

    A batch that no job here knows becomes one, named for its id. Raises NotDoneError while a batch has not ended,
    unless `partial` results are wanted: then what there is is fetched.
    """
    folder = target.folder
    if folder is None:
        folder = yield from _adopt(target, clock, partial=partial)
    if all(_is_here(folder, remote, model=target.model) for remote in folder.read().remotes):
        return folder
    with folder.locked():
        record = folder.read()
        for index, remote in enumerate(record.remotes):
            if not _is_here(folder, remote, model=target.model) and not _is_unsent(record, remote, partial=partial):
                changed = yield from _download_one(folder, remote, model=target.model, partial=partial)
                remotes = (*record.remotes[:index], changed, *record.remotes[index + 1 :])
                record = msgspec.structs.replace(record, remotes=remotes)
                folder.write(record)
    return folder


def tabulate(folder: JobFolder, model: Model) -> "pl.DataFrame":
    """Return the rows of a job with their answers, from what is on disk alone.

    Raises BatchFailedError where the provider refused all of it as a whole.
    """
    # Imported here, because it loads polars.
    from tidyllm.client.batch_frame import answered_frame, embedded_frame, loose_frame  # noqa: PLC0415

    record = folder.read()
    _refuse_failed(record, model)
    job = OpenJob(folder=folder, record=record, model=model)
    if record.kind is None:
        return loose_frame(_without_rows(job), record)
    found = answers(job)
    if record.embeds is not None:
        return embedded_frame(folder.rows, record, answers=found, empty=model.params.dimensions or 0)
    return answered_frame(folder.rows, record, answers=found)


def _without_rows(job: OpenJob) -> Iterable[Answer]:
    """Return what became of the requests of a job that has no rows: of ready-made ones each, in their order."""
    if job.record.ready_made:
        try:
            told = dict(answers(job))
        except JobError as fault:
            _LOG.warning("%s: the table is in the order in which results came. %s", job.record.name, fault)
        else:
            return [told[number] for number in sorted(told)]
    return Results(job).answers(judge_of(job.record, job.model))


def conversations(folder: JobFolder, model: Model) -> "tuple[list[Conversation], list[Answer]]":
    """Return the conversations of a job that a list made, and what became of each, from what is on disk alone."""
    # Imported here, because it loads polars.
    from tidyllm.client.batch_frame import read_talks  # noqa: PLC0415

    record = folder.read()
    _refuse_failed(record, model)
    told = dict(answers(OpenJob(folder=folder, record=record, model=model)))
    return read_talks(folder.rows), [told[number] for number in range(1, record.height + 1)]


def _refuse_failed(record: JobRecord, model: Model) -> None:
    """Raise BatchFailedError, with the reasons, where the provider refused each of a job's batches as a whole."""
    failed = [batch for batch in (one.batch for one in record.remotes) if batch and _is_refused(batch, model)]
    if not failed or len(failed) < len(record.remotes):
        return
    problems = tuple(dict.fromkeys(str(problem) for batch in failed for problem in batch.problems))
    listed = "".join(f"\n  {problem}" for problem in problems) or " It does not say why."
    which = ", ".join(batch.id for batch in failed)
    raise BatchFailedError(
        f"{model.provider.name} refused the batch {which}; nothing was run.{listed}\n"
        f"retry_batch({record.name!r}) sends the same requests again, once that is mended; others need another name.",
        name=record.name,
        problems=problems,
    )


def _is_refused(batch: Batch, model: Model) -> bool:
    return batch.status is BatchStatus.FAILED and not batches_of(model).result_files(batch)


def _adopt(target: Target, clock: Clock, *, partial: bool) -> Call[JobFolder]:
    """Make a job of a batch that was sent from elsewhere; its rows are unknown."""
    (batch_id,) = target.batch_ids
    provider = target.model.provider
    batch = yield from batches_of(target.model).get(target.model.site, batch_id)
    if not partial:
        _refuse_unended(target.name, batch)
    chat = next((chat for chat in provider.batch_chats if chat.path == batch.endpoint), None)
    embeds = chat is None and batch.endpoint is not None and batch.endpoint == provider.batch_embed_path
    folder = job_folder(file_name(batch_id))
    with folder.locked():
        folder.write(
            JobRecord(
                name=folder.name,
                key=job_key({}),
                parts={},
                provider=provider.name,
                base_url=target.model.base_url,
                model=batch.model or target.model.name,
                kind=None,
                created_at=clock.now(),
                remotes=(Remote(token="", requests=batch.counts.total, batch=batch),),
                api=None if chat is None else chat.api,
                embeds="" if embeds else None,
            )
        )
    return folder


def _is_here(folder: JobFolder, remote: Remote, *, model: Model) -> bool:
    """Return whether a batch's results were downloaded, and nobody has removed one of them since.

    Rows whose answers are in a file that is missing would pass for failed, and be paid again.
    """
    if not remote.downloaded or remote.batch is None:
        return False
    raw, files = folder.raw(remote.batch.id), batches_of(model).result_files(remote.batch)
    return all(file.name in remote.gone or (raw / file.name).exists() for file in files)


def _is_unsent(record: JobRecord, remote: Remote, *, partial: bool) -> bool:
    """Whether there is no batch to fetch. Raises NotDoneError where there should be one."""
    if remote.batch is not None:
        return False
    if partial or record.cancelled:
        return True
    raise NotDoneError(
        f"{record.name} was not sent to its end: wait_batch({record.name!r}) sends what is left, and waits for it.",
        name=record.name,
        status="queued",
    )


def _download_one(folder: JobFolder, remote: Remote, *, model: Model, partial: bool) -> Call[Remote]:
    batches, batch = batches_of(model), remote.batch
    assert batch is not None  # noqa: S101 - what is unsent was left out
    if not batch.status.ended or not batches.result_files(batch):
        batch = yield from batches.get(model.site, batch.id)
    if not partial:
        _refuse_unended(folder.name, batch)
    raw, files = folder.raw(batch.id), batches.result_files(batch)
    # What was saved of a batch that had ended is whole; it is kept, as the provider may have it no more.
    wanted = [file for file in files if not (remote.downloaded and (raw / file.name).exists())]
    gone = yield from _download_files(folder, batch, files=wanted, model=model)
    sync_folder(raw)
    if gone and not any((raw / file.name).exists() for file in files):
        fault = gone[wanted[-1].name]
        fault.add_note("Providers keep result files for a while only: OpenAI for 30 days.")
        raise fault
    # A completed batch without any file has been seen: its files may yet turn up; spec/openai-batch 10.
    final = batch.status.ended and (bool(files) or batch.status is not BatchStatus.COMPLETED)
    return msgspec.structs.replace(remote, batch=batch, downloaded=final, gone=tuple(gone))


def _download_files(
    folder: JobFolder, batch: Batch, *, files: Iterable[ResultFile], model: Model
) -> Call[dict[str, NotFoundError]]:
    """Fetch files of a batch; return the faults of those that are gone, by their names."""
    gone = {}
    for file in files:
        sink = folder.raw(batch.id) / file.name
        try:
            yield from batches_of(model).download(model.site, batch, file=file, sink=sink)
        except NotFoundError as fault:
            gone[file.name] = fault
            _LOG.warning("%s: %s of batch %s is gone: %s", folder.name, file.name, batch.id, fault)
    return gone


def _refuse_unended(name: str, batch: Batch) -> None:
    if batch.status.ended:
        return
    word = batch.status_word or batch.status.value
    raise NotDoneError(
        f"{name} has not ended: the batch {batch.id} is {word}. Wait for it, or fetch what there is with partial=True.",
        name=name,
        status=word,
    )
