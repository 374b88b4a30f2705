"""Sending a job: upload and create, so that a crash at any point leads to no second bill.

    intent on disk -> upload -> id on disk -> "may be created" on disk -> create -> batch on disk

A batch that may have been created unseen is looked for in the provider's list: by the token in its notes, or, where the
provider keeps none, by the time and the number of its requests.
"""

import logging
import math
from collections.abc import Callable, Iterator

import msgspec

from tidyllm.client.batch_order import PURPOSE, order_of
from tidyllm.client.capabilities import batches_of, files_of
from tidyllm.client.jobs import Job, JobFolder, OpenJob, Remote, batch_ids, batches_elsewhere, job_of
from tidyllm.client.refusals import is_unseen_file, passes, put_again
from tidyllm.core.batch import Batch
from tidyllm.core.clock import Clock
from tidyllm.core.errors import (
    ApiError,
    BadAnswerError,
    ConnectError,
    JobUnsureError,
    NotDoneError,
    ServerError,
    SettingError,
    TidyllmError,
    TransportError,
)
from tidyllm.core.wire import Call, Sleep
from tidyllm.dialect import TOKEN_NOTE
from tidyllm.provider import Model

SETTLE_S = 60.0
"""How long after an attempt a batch may still turn up in the provider's list, unseen so far: a guess on
the safe side, as no provider says; a create that takes longer after our death would be done twice."""
NONE = "none"
"""What `adopt=` is where none of the batches that were listed is the job's."""
_CLOCKS_DIFFER_S = 86_400
"""How far the provider's clock and ours may be apart when old batches are told from new ones."""
_SAME_MOMENT_S = 900.0
"""How far apart in time a batch without notes may be from the attempt that it may come from."""
_UNSEEN_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Pauses after which a file that was just uploaded is tried again; spec/openai-batch 10."""
_CANDIDATES_MAX = 10
_PAGE = 100
_PAGES_MAX = 1_000
_LOG = logging.getLogger("tidyllm")


def send(folder: JobFolder, model: Model, *, clock: Clock, adopt: str | None = None) -> Call[Job]:
    """Bring a job to the provider, from wherever an earlier attempt left it.

    Where it said how much may wait at a time, the rest stays for later. `adopt` names the batch that a doubtful attempt
    has created, or says that it was `none` of those that were listed.
    """
    with folder.locked():
        sending = _Sending(folder, model, clock)
        yield from sending.all(adopt)
    return job_of(folder, sending.record, model=model)


def tend(folder: JobFolder, model: Model, *, clock: Clock, ends_at: float) -> Call[tuple[str, ...]]:
    """Send what has not been sent, and again what was refused for what passes; return the batches that there are.

    Raises NotDoneError where a pause would last beyond that moment of the clock that never steps back.
    """
    with folder.locked():
        sending = _Sending(folder, model, clock, ends_at=ends_at)
        sending.put_again()
        yield from sending.all(None)
    return batch_ids(sending.record)


def unsent(folder: JobFolder) -> bool:
    """Whether a part of a job is yet to be sent, or sent again."""
    record = folder.read()
    return not record.cancelled and any(remote.batch is None or passes(remote) for remote in record.remotes)


class _Sending:
    """One attempt to bring a job to its provider; saves each fact as soon as it is one."""

    def __init__(self, folder: JobFolder, model: Model, clock: Clock, *, ends_at: float = math.inf) -> None:
        self.record = folder.read()
        self._folder = folder
        self._model = model
        self._clock = clock
        self._ends_at = ends_at
        self._index = 0

    @property
    def remote(self) -> Remote:
        return self.record.remotes[self._index]

    def all(self, adopt: str | None) -> Call[None]:
        """Send one batch after another, as many as may wait at a time."""
        self._refuse_needless(adopt)
        for index in self._unsent():
            self._index = index
            yield from self._finish(adopt)

    def _refuse_needless(self, adopt: str | None) -> None:
        """Raise SettingError for a batch that is to be adopted where none is in doubt: another one would be paid."""
        if adopt is None or adopt == NONE or adopt in batch_ids(self.record):
            return
        if not any(remote.batch is None and remote.tried_at is not None for remote in self.record.remotes):
            raise SettingError(
                f"adopt={adopt!r} is for a job whose batch may have been created unseen, and nothing of "
                f"{self.record.name!r} is in doubt: leave it out, or fetch that batch by its id with provider=."
            )

    def put_again(self) -> None:
        """Have those batches sent once more that were refused as a whole for what passes."""
        remotes = tuple(put_again(self.record, folder=self._folder, now=self._clock.now()))
        if remotes != self.record.remotes:
            self.record = msgspec.structs.replace(self.record, remotes=remotes)
            self._folder.write(self.record)

    def _unsent(self) -> Iterator[int]:
        if self.record.cancelled:
            return
        most = self.record.queue_tokens
        for index, remote in enumerate(self.record.remotes):
            if remote.batch is not None:
                continue
            waiting = [one for one in self.record.remotes if one.batch is not None and not one.batch.status.ended]
            tokens = remote.tokens + sum(one.tokens for one in waiting)
            if most is not None and waiting and tokens > most:
                return
            yield index

    def _finish(self, adopt: str | None) -> Call[None]:
        """Do what is left to do for one batch."""
        file_id = None
        if not self.remote.inline:
            file_id = self.remote.input_file_id or (yield from self._upload())
        batch = None
        if self.remote.tried_at is not None and adopt != NONE:
            batch = yield from self._found(self.remote.tried_at, adopt)
        if batch is None:
            batch = yield from self._create(file_id)
        self._save(batch=batch)

    def _upload(self) -> Call[str]:
        path = self._folder.path / self.remote.file
        file = yield from files_of(self._model).upload(self._model.site, path, purpose=PURPOSE)
        self._save(input_file_id=file.id)
        return file.id

    def _create(self, file_id: str | None) -> Call[Batch]:
        order = order_of(
            OpenJob(folder=self._folder, record=self.record, model=self._model), self.remote, input_file_id=file_id
        )
        self._save(tried_at=self._clock.now())
        pauses = list(_UNSEEN_PAUSES_S)
        while True:
            try:
                return (yield from batches_of(self._model).create(self._model.site, order))
            except TidyllmError as fault:
                is_unseen = isinstance(fault, ApiError) and is_unseen_file(str(fault), file_id)
                if is_unseen and pauses:
                    yield from self._pause(pauses.pop(0))
                    continue
                if is_unseen:
                    self._save(input_file_id=None)
                return (yield from self._despite(fault))

    def _despite(self, fault: TidyllmError) -> Call[Batch]:
        """Return the batch that was created although a fault came of it; raise the fault where it was not."""
        if not _may_have_arrived(fault):
            self._save(tried_at=None)
            raise fault
        found = yield from self._look_if_possible()
        if found is None:
            fault.add_note(
                "The batch may have been created all the same. Give the same rows to send_batch again, under the "
                f"name {self.record.name!r}: it is looked for before another one is created."
            )
            raise fault
        return found

    def _look_if_possible(self) -> Call[Batch | None]:
        """Return what `_look` does, and none where it fails: whoever looks has a worse fault to tell of."""
        try:
            return (yield from self._look())
        except TidyllmError as fault:
            _LOG.warning("%s: its batch could not be looked for: %s", self.record.name, fault)
            return None

    def _found(self, tried_at: float, adopt: str | None) -> Call[Batch | None]:
        """Return the batch that an earlier attempt has created, if it has."""
        if adopt is not None:
            return (yield from batches_of(self._model).get(self._model.site, adopt))
        found = yield from self._look()
        settled_in_s = tried_at + SETTLE_S - self._clock.now()
        if found is None and settled_in_s > 0:
            _LOG.warning(
                "%s: an earlier attempt may have created its batch; looking again in %.0f s before another is created.",
                self.record.name,
                min(settled_in_s, SETTLE_S),
            )
            yield from self._pause(min(settled_in_s, SETTLE_S))
            found = yield from self._look()
        return found

    def _pause(self, seconds: float) -> Call[None]:
        left = self._ends_at - self._clock.monotonic()
        yield Sleep(min(seconds, max(left, 0.0)))
        if seconds > left:
            raise NotDoneError(
                f"{self.record.name} was not sent to its end when the time was up: wait again, which goes on with it.",
                name=self.record.name,
                status="queued",
            )

    def _look(self) -> Call[Batch | None]:
        """Return our batch from the provider's list, if it is there. Raises JobUnsureError where it may be several."""
        if not batches_of(self._model).keeps_notes:
            return (yield from self._look_by_time())
        token = self.remote.token
        found = yield from self._search(
            lambda batch: batch.metadata.get(TOKEN_NOTE) == token or token in (batch.name or ""), enough=1
        )
        if not found:
            return None
        _LOG.info("%s: the batch %s had been created before.", self.record.name, found[0].id)
        return found[0]

    def _look_by_time(self) -> Call[Batch | None]:
        """Return the one batch that can be ours: made about then, of so many requests, and no other job's here.

        Its requests' ids are the job's own, so that another's answers could never pass for ours.
        """
        tried_at, taken = self.remote.tried_at or 0.0, batches_elsewhere(self.record)
        found = yield from self._search(
            lambda batch: (
                batch.id not in taken
                and batch.counts.total == self.remote.requests
                and abs(batch.created_at - tried_at) <= _SAME_MOMENT_S
            ),
            enough=_CANDIDATES_MAX,
        )
        if len(found) > 1:
            raise _unsure(self.record.name, found)
        if found:
            _LOG.warning("%s: the batch %s is taken for the one that was being created.", self.record.name, found[0].id)
        return found[0] if found else None

    def _search(self, matches: Callable[[Batch], bool], *, enough: int) -> Call[list[Batch]]:
        """Return the first batches of the provider's list that match, as many as are enough."""
        oldest = (self.remote.tried_at or 0.0) - _CLOCKS_DIFFER_S
        after: str | None = None
        found: list[Batch] = []
        for _ in range(_PAGES_MAX):
            page = yield from batches_of(self._model).page(self._model.site, limit=_PAGE, after=after)
            found += filter(matches, page.batches)
            after = page.after
            if len(found) >= enough or after is None or any(batch.created_at < oldest for batch in page.batches[-1:]):
                break
        return found

    def _save(self, **facts: object) -> None:
        remotes = list(self.record.remotes)
        remotes[self._index] = msgspec.structs.replace(self.remote, **facts)
        self.record = msgspec.structs.replace(self.record, remotes=tuple(remotes))
        self._folder.write(self.record)


def _unsure(name: str, found: list[Batch]) -> JobUnsureError:
    listed = "".join(f"\n  {batch.id}: {batch.counts.total} requests, created at {batch.created_at}" for batch in found)
    return JobUnsureError(
        f"{name}: an earlier attempt may have created its batch, and the provider keeps no notes that would say which "
        f"of these it is:{listed}\nSend it again with adopt= and the id of the right one, or with adopt={NONE!r} where "
        "it is none of them.",
        name=name,
        candidates=tuple(batch.id for batch in found),
    )


def _may_have_arrived(fault: TidyllmError) -> bool:
    """Whether the provider may have created a batch although we were told otherwise, or nothing."""
    if isinstance(fault, ConnectError):
        return False
    return isinstance(fault, TransportError | ServerError | BadAnswerError)
