"""A shard while this worker holds it: what of it waits, is in flight, is written and is durable."""

import asyncio

from tidyllm.core.batch import BatchUsage
from tidyllm.journal import Kind
from tidyllm.server.records import Lease, ShardReport


class Held:
    """The running account of one leased shard."""

    def __init__(self, lease: Lease, *, waiting: int, stop: asyncio.Event) -> None:
        self.lease = lease
        self.stop = stop
        """Set when the batch, or the worker, sends nothing more; shared by the shards of a batch."""
        self.abandoned = False
        """Whether the batch has stopped, so that lines without an answer need none."""
        self.waiting = waiting
        self.in_flight = 0
        self._completed = 0
        self._failed = 0
        self._usage = BatchUsage()

    @property
    def key(self) -> tuple[str, int]:
        """What tells this shard from all others."""
        return self.lease.batch_id, self.lease.shard.number

    @property
    def done(self) -> bool:
        """Whether nothing of the shard waits or is in flight, and nothing of it needs an answer any more."""
        answered = self._completed + self._failed == self.lease.shard.requests
        return not self.waiting and not self.in_flight and (answered or self.abandoned)

    def count(self, kind: Kind, usage: BatchUsage) -> None:
        """Count a line whose record has been written."""
        if kind is Kind.ANSWERED:
            self._completed += 1
        else:
            self._failed += 1
        if usage != _NONE:
            self._usage += usage

    def report(self) -> ShardReport:
        """Return what has been written so far: to be told to nobody before it is durable."""
        return ShardReport(
            batch_id=self.lease.batch_id,
            number=self.lease.shard.number,
            epoch=self.lease.epoch,
            completed=self._completed,
            failed=self._failed,
            usage=self._usage,
            done=self.done,
        )


_NONE = BatchUsage()
