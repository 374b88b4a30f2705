"""Sending again what of a job has failed: the same requests, as new batches of the same job."""

import logging
from collections.abc import Iterator
from itertools import chain

import msgspec

from tidyllm.client import requests
from tidyllm.client.batch_order import cuts_of
from tidyllm.client.jobs import JobFolder, OpenJob, Remote
from tidyllm.client.refusals import passes, renewed
from tidyllm.client.results import answers
from tidyllm.core.errors import NotDoneError
from tidyllm.core.reply import Outcome
from tidyllm.provider import Model

AGAIN = frozenset({Outcome.FAILED, Outcome.EXPIRED, Outcome.CANCELLED})
"""What is sent again; the others were answered, and paid for."""
_LOG = logging.getLogger("tidyllm")


def _failed_rows(job: OpenJob) -> set[int]:
    """Return the numbers of the rows that have no answer and will have none, from 1.

    Says in the log for which rows something came that cannot be read: these are not among them.
    """
    failed: set[int] = set()
    unread: dict[int, str] = {}
    for number, answer in answers(job):
        unread.pop(number, None)
        if answer.unread is not None:
            unread[number] = answer.unread
        if answer.outcome in AGAIN:
            failed.add(number)
        else:
            failed.discard(number)
    if unread:
        _LOG.warning(
            "%s: %d rows are left alone, as something came for them that cannot be read, in %s. It was paid for, and "
            "another version may read it; to have them sent again all the same, take their lines out of that file.",
            job.record.name,
            len(unread),
            ", ".join(dict.fromkeys(unread.values())),
        )
    return failed


def is_begun(folder: JobFolder) -> bool:
    """Whether what is under way of a job was sent again by an earlier call, or is to be."""
    record = folder.read()
    return record.retried and not record.cancelled


def put_failed_again(folder: JobFolder, model: Model) -> bool:
    """Write down that what has failed is to be sent again, and return whether there is any; sends nothing.

    All of the job's results must be on disk. Raises NotDoneError while a part of it is still under way.
    """
    with folder.locked():
        record = folder.read()
        if (
            any(remote.batch is None or not remote.batch.status.ended for remote in record.remotes)
            and not record.cancelled
        ):
            raise NotDoneError(
                f"{record.name} is still under way: wait_batch({record.name!r}) first.",
                name=record.name,
                status="queued",
            )
        job = OpenJob(folder=folder, record=record, model=model)
        failed = _failed_rows(job)
        if not failed:
            _LOG.info("%s: no row has failed; nothing is sent again.", record.name)
            return False
        # What was given up before it was sent, or was refused for what passes, is sent as it is and in its own place,
        # so that a wait does not send it once more.
        each = (renewed(one, folder) if passes(one) else (one,) for one in record.remotes)
        kept = tuple(chain.from_iterable(each))
        unsent = {number for remote in kept if remote.batch is None for number in remote.numbers}
        with folder.usable():
            added = tuple(_remotes(job, failed=failed - unsent))
        folder.write(msgspec.structs.replace(record, remotes=(*kept, *added), cancelled=False, retried=True))
        _LOG.info("%s: %d rows are sent again.", record.name, len(failed))
        return True


def _remotes(job: OpenJob, *, failed: set[int]) -> Iterator[Remote]:
    for inline in (False, True):
        numbered = _requests(job, failed=failed, inline=inline)
        for one in requests.write(cuts_of(job, numbered, inline=inline, queue_tokens=job.record.queue_tokens)):
            yield one.remote(inline=inline, again=True)


def _requests(job: OpenJob, *, failed: set[int], inline: bool) -> Iterator[tuple[int, bytes]]:
    """Yield the requests of rows as they were sent first, of those that were sent this way."""
    for remote in job.record.remotes:
        if remote.again or remote.inline is not inline:
            continue
        for number, line in requests.numbered(job.folder, remote):
            if number in failed:
                yield number, line
