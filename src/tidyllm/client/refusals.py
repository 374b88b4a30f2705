"""Batches that a provider refused as a whole for what passes: too much was waiting, or a file was not there yet.

Such a refusal looks like any other, comes after the batch was taken, and is known by its words alone; it costs nothing,
and the same requests are sent again; spec/openai-batch 5.3 and 10.
"""

import re
from collections.abc import Iterator

import msgspec

from tidyllm.client import requests
from tidyllm.client.jobs import JobFolder, JobRecord, Remote
from tidyllm.core.batch import Batch, BatchStatus

_TOO_MUCH = "token_limit_exceeded"
_UNSEEN = ("cannot find file", "no such file")
_LIMIT = re.compile(r"limit:?\s*([\d,]+)\s+enqueued", re.IGNORECASE)
_UNSEEN_TIMES_MAX = 3
"""So often a file that a provider cannot find is given to it again, once as it is and then anew."""
_WHOLE_TIMES_MAX = 2
"""So often a batch for which there was no room is sent again as it is: then it may be larger than it looks."""
_PAUSE_S = 60.0
"""How long to wait before a batch is sent again for which too much was waiting although none was of this job; it
doubles each time."""
_PAUSE_MAX_S = 3_600.0


def is_unseen_file(text: str, file_id: str | None) -> bool:
    """Whether an error says that an uploaded file is not there, or not yet."""
    return file_id is not None and any(words in text.lower() for words in _UNSEEN)


def passes(remote: Remote) -> bool:
    """Whether a batch was refused as a whole for what passes."""
    return _too_much_waits(remote) or _file_is_unseen(remote)


def put_again(record: JobRecord, *, folder: JobFolder, now: float) -> Iterator[Remote]:
    """Yield a job's batches, those as unsent that are to be sent again; one that can never pass is cut in two.

    Where too much was waiting, a batch goes again once no other of the job waits, and after a pause.
    """
    waits = any(remote.batch is not None and not remote.batch.status.ended for remote in record.remotes)
    for remote in record.remotes:
        if _file_is_unseen(remote):
            yield from renewed(remote, folder)
        elif _too_much_waits(remote) and not waits and _rested(remote, now):
            waits = True
            yield from renewed(remote, folder)
        else:
            yield remote


def renewed(remote: Remote, folder: JobFolder) -> Iterator[Remote]:
    """Yield a batch that was refused for what passes as one that is yet to be sent, or as two."""
    if not _too_much_waits(remote):
        yield _unsent(remote, file=remote.input_file_id if not remote.refused else None)
    elif remote.requests > 1 and not remote.inline and _never_fits(remote):
        yield from _halved(remote, folder)
    else:
        yield _unsent(remote, file=remote.input_file_id)


def _too_much_waits(remote: Remote) -> bool:
    """Whether a batch was refused as too much was waiting; not so one whose single request is more than ever may."""
    batch = remote.batch
    if batch is None or batch.status is not BatchStatus.FAILED:
        return False
    if remote.requests == 1 and _is_beyond_limit(remote):
        return False
    return any(problem.code == _TOO_MUCH for problem in batch.problems)


def _file_is_unseen(remote: Remote) -> bool:
    batch = remote.batch
    if batch is None or batch.status is not BatchStatus.FAILED or len(remote.refused) >= _UNSEEN_TIMES_MAX:
        return False
    return any(is_unseen_file(problem.message, remote.input_file_id) for problem in batch.problems)


def _rested(remote: Remote, now: float) -> bool:
    pause = min(_PAUSE_S * 2.0 ** len(remote.refused), _PAUSE_MAX_S)
    return now >= (remote.tried_at or 0.0) + pause


def _never_fits(remote: Remote) -> bool:
    """Whether a batch seems to have more tokens than may ever wait."""
    return len(remote.refused) >= _WHOLE_TIMES_MAX or _is_beyond_limit(remote)


def _is_beyond_limit(remote: Remote) -> bool:
    """Whether a batch has more tokens than may wait, as far as its refusal says how many these are."""
    if remote.batch is None:
        return False
    told = [_LIMIT.search(problem.message) for problem in remote.batch.problems]
    limits = [int(found.group(1).replace(",", "")) for found in told if found is not None]
    return any(remote.tokens > limit for limit in limits)


def _unsent(remote: Remote, *, file: str | None) -> Remote:
    return msgspec.structs.replace(
        remote,
        token=requests.new_token(),
        input_file_id=file,
        tried_at=None,
        batch=None,
        downloaded=False,
        gone=(),
        refused=_refused(remote),
    )


def _refused(remote: Remote) -> tuple[Batch, ...]:
    assert remote.batch is not None  # noqa: S101 - it was refused
    return (*remote.refused, remote.batch)


def _halved(remote: Remote, folder: JobFolder) -> Iterator[Remote]:
    """Yield two batches in place of one, each with half of its requests."""
    numbered = requests.numbered(folder, remote)
    room = requests.Room(requests=-(-remote.requests // 2), size=2**62, who="")
    cuts = requests.cut(numbered, room, place=requests.places(folder), framing=requests.lines_framing)
    for one in requests.write(cuts):
        half = one.remote(inline=False, again=remote.again)
        yield msgspec.structs.replace(half, refused=_refused(remote))
