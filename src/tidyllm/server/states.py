"""The life of a batch, of a shard and of a worker: the drawings, and a batch's legal moves as data.

A batch (the words are OpenAI's, spec/openai-batch 4.3):

    validating ──> failed                                  a bad input file
        │   └────> cancelling
        └──> in_progress ──> finalizing ──> completed      every line has its answer
                  │                └──────> expired        the completion window closed first
                  └────────> cancelling ──> cancelled      answers so far are published

A shard, a run of consecutive lines of one batch:

    queued ──> leased ──> done         all its lines are in the journal, or its batch stops
       ^──────────┘                    its worker died or stopped: the next lease has a higher epoch

A worker:

    live ──> dead                      its lock file is free: its shards go back to queued

A move is one SQL statement that names what it expects: of a batch its state, of a shard its worker and epoch. If no
row changed, somebody else moved first.
"""

from collections.abc import Mapping
from enum import Enum

from tidyllm.core.batch import BatchStatus


class ShardState(str, Enum):
    """Where a shard stands."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"


MOVES: Mapping[BatchStatus, frozenset[BatchStatus]] = {
    BatchStatus.VALIDATING: frozenset({BatchStatus.IN_PROGRESS, BatchStatus.FAILED, BatchStatus.CANCELLING}),
    BatchStatus.IN_PROGRESS: frozenset({BatchStatus.FINALIZING, BatchStatus.CANCELLING}),
    BatchStatus.FINALIZING: frozenset({BatchStatus.COMPLETED, BatchStatus.EXPIRED}),
    BatchStatus.CANCELLING: frozenset({BatchStatus.CANCELLED}),
    BatchStatus.COMPLETED: frozenset(),
    BatchStatus.FAILED: frozenset(),
    BatchStatus.EXPIRED: frozenset(),
    BatchStatus.CANCELLED: frozenset(),
}
"""Which states may follow which."""


def before(status: BatchStatus) -> frozenset[BatchStatus]:
    """Return the states from which a batch may move to `status`."""
    return frozenset(source for source, targets in MOVES.items() if status in targets)
