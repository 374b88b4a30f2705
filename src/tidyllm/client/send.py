"""Sending a job: upload and create, so that a crash at any point leads to no second bill.

    intent on disk -> upload -> id on disk -> "may be created" on disk -> create -> batch on disk

A batch that may have been created unseen is looked for in the provider's list, by the token in its metadata.
"""

import logging

import msgspec

from tidyllm.client.jobs import Job, JobFolder, Remote, job_of
from tidyllm.client.plan import PURPOSE, TOKEN_NOTE, order_of
from tidyllm.client.targets import batches_of, files_of
from tidyllm.core.batch import Batch
from tidyllm.core.clock import Clock
from tidyllm.core.errors import BadAnswerError, ConnectError, ServerError, TidyllmError, TransportError
from tidyllm.core.wire import Call, Sleep
from tidyllm.provider import Model

SETTLE_S = 60.0
"""How long after an attempt a batch may still turn up in the provider's list, unseen so far: a guess on
the safe side, as no provider says; a create that takes longer after our death would be done twice."""
_CLOCKS_DIFFER_S = 86_400
"""How far the provider's clock and ours may be apart when old batches are told from new ones."""
_PAGE = 100
_PAGES_MAX = 1_000
_LOG = logging.getLogger("tidyllm")


def send(folder: JobFolder, model: Model, *, clock: Clock) -> Call[Job]:
    """Bring a job to the provider, from wherever an earlier attempt left it."""
    with folder.locked():
        sending = _Sending(folder, model, clock)
        if sending.remote.batch is None:
            yield from sending.finish()
    return job_of(folder, sending.record, model=model)


class _Sending:
    """One attempt to bring a job to its provider; saves each fact as soon as it is one."""

    def __init__(self, folder: JobFolder, model: Model, clock: Clock) -> None:
        self.record = folder.read()
        self._folder = folder
        self._model = model
        self._clock = clock

    @property
    def remote(self) -> Remote:
        return self.record.remotes[0]

    def finish(self) -> Call[None]:
        """Do what is left to do."""
        file_id = self.remote.input_file_id or (yield from self._upload())
        batch = None
        if self.remote.tried_at is not None:
            batch = yield from self._look_twice(self.remote.tried_at)
        if batch is None:
            batch = yield from self._create(file_id)
        self._save(batch=batch)

    def _upload(self) -> Call[str]:
        upload = files_of(self._model).upload(self._model.site, self._folder.requests, purpose=PURPOSE)
        file = yield from upload
        self._save(input_file_id=file.id)
        return file.id

    def _create(self, file_id: str) -> Call[Batch]:
        order = order_of(self.record, self._model, input_file_id=file_id)
        self._save(tried_at=self._clock.now())
        try:
            return (yield from batches_of(self._model).create(self._model.site, order))
        except TidyllmError as fault:
            if not _may_have_arrived(fault):
                self._save(tried_at=None)
                raise
            found = yield from self._look_if_possible()
            if found is None:
                fault.add_note(
                    "The batch may have been created all the same. Give the same rows to send_batch again, under the "
                    f"name {self.record.name!r}: it is looked for before another one is created."
                )
                raise
            return found

    def _look_if_possible(self) -> Call[Batch | None]:
        """Return what `_look` does, and none where it fails: whoever looks has a worse fault to tell of."""
        try:
            return (yield from self._look())
        except TidyllmError as fault:
            _LOG.warning("%s: its batch could not be looked for: %s", self.record.name, fault)
            return None

    def _look_twice(self, tried_at: float) -> Call[Batch | None]:
        found = yield from self._look()
        settled_in_s = tried_at + SETTLE_S - self._clock.now()
        if found is None and settled_in_s > 0:
            _LOG.warning(
                "%s: an earlier attempt may have created its batch; looking again in %.0f s before another is created.",
                self.record.name,
                min(settled_in_s, SETTLE_S),
            )
            yield Sleep(min(settled_in_s, SETTLE_S))
            found = yield from self._look()
        return found

    def _look(self) -> Call[Batch | None]:
        """Return the batch with our token from the provider's list, if it is there."""
        oldest = (self.remote.tried_at or 0.0) - _CLOCKS_DIFFER_S
        after: str | None = None
        for _ in range(_PAGES_MAX):
            page = yield from batches_of(self._model).page(self._model.site, limit=_PAGE, after=after)
            for batch in page.batches:
                if batch.metadata.get(TOKEN_NOTE) == self.remote.token:
                    _LOG.info("%s: the batch %s had been created before.", self.record.name, batch.id)
                    return batch
            after = page.after
            if after is None or page.batches[-1].created_at < oldest:
                break
        return None

    def _save(self, **facts: object) -> None:
        remote = msgspec.structs.replace(self.remote, **facts)
        self.record = msgspec.structs.replace(self.record, remotes=(remote,))
        self._folder.write(self.record)


def _may_have_arrived(fault: TidyllmError) -> bool:
    """Whether the provider may have created a batch although we were told otherwise, or nothing."""
    if isinstance(fault, ConnectError):
        return False
    return isinstance(fault, TransportError | ServerError | BadAnswerError)
