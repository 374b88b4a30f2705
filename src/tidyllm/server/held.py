"""What a worker holds: batches, and of each the leased shards, with what waits, is in flight and is written."""

import asyncio

from tidyllm.core.batch import BatchUsage, UsageSum
from tidyllm.journal import Journal, Kind, Replay
from tidyllm.server.records import Lease, ShardReport

OF_LATE = 0.05
"""Weight of the newest answer in an average."""


class HeldBatch:
    """A batch of which a worker holds shards."""

    def __init__(self, lease: Lease, journal: Journal, replay: Replay) -> None:
        self.id = lease.batch_id
        self.model = lease.model
        self.project_id = lease.project_id
        self.expires_at = lease.expires_at
        self.remaining = lease.remaining
        """Requests without an answer, when last heard of; other workers' among them."""
        self.answer_s = 0.0
        """How long an answer takes, on average of late."""
        self.answer_bytes = 0.0
        """How long one is, on average of late."""
        self.journal = journal
        """Where this worker, and nobody else, writes the batch's answers."""
        self.replay = replay
        """What earlier workers have left."""
        self.stop = asyncio.Event()
        """Set when the batch, or the worker, sends nothing more."""
        self.shards: dict[int, Held] = {}

    def heard(self, *, seconds: float, size: int) -> None:
        """Take in an answer."""
        self.remaining -= 1
        self.answer_s += OF_LATE * (seconds - self.answer_s) if self.answer_s else seconds
        self.answer_bytes += OF_LATE * (size - self.answer_bytes) if self.answer_bytes else size

    def is_late(self, *, now: float, in_flight: int) -> bool:
        """Return whether it would not be done when its window closes, going on as it does; `now` is since 1970."""
        left_s = self.expires_at - now
        return self.remaining * self.answer_s > left_s * max(in_flight, 1)


class Held:
    """The running account of one leased shard."""

    def __init__(self, lease: Lease, batch: HeldBatch, *, waiting: int) -> None:
        self.lease = lease
        self.batch = batch
        self.abandoned = False
        """Whether the batch has stopped, so that lines without an answer need none."""
        self.waiting = waiting
        self.in_flight = 0
        self._completed = 0
        self._failed = 0
        self._usage = UsageSum()

    @property
    def done(self) -> bool:
        """Whether nothing of the shard waits or is in flight, and nothing of it needs an answer any more."""
        answered = self._completed + self._failed == self.lease.shard.requests
        return not self.waiting and not self.in_flight and (answered or self.abandoned)

    def count(self, kind: Kind, usage: BatchUsage) -> None:
        """Count a line whose record the journal has taken."""
        if kind is Kind.ANSWERED:
            self._completed += 1
        else:
            self._failed += 1
        self._usage.add(usage)

    def report(self) -> ShardReport:
        """Return what the journal has taken so far: to be told to nobody before it is durable."""
        return ShardReport(
            batch_id=self.lease.batch_id,
            number=self.lease.shard.number,
            epoch=self.lease.epoch,
            completed=self._completed,
            failed=self._failed,
            usage=self._usage.total(),
            done=self.done,
        )
