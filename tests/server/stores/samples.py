"""Records to try a store with: each function makes one, and says what matters about it in its arguments."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from tidyllm.core.batch import BatchStatus, BatchUsage, RequestCounts
from tidyllm.server.records import BatchRecord, Ending, FileRecord, Lease, Shard, ShardReport, UpstreamState
from tidyllm.server.store import DEFAULT_PROJECT, Store

MINE = DEFAULT_PROJECT
NOW = 1_700_000_000
DAY = 86_400

Connect: TypeAlias = Callable[[], Store]
"""Opens one more connection to the same database."""
NewDatabase: TypeAlias = Callable[[], Connect]


def a_file(file_id: str, *, purpose: str = "batch", created_at: int = NOW, expires_at: int | None = None) -> FileRecord:
    return FileRecord(
        id=file_id,
        project_id=MINE,
        blob=f"blob-{file_id}",
        purpose=purpose,
        filename="prompts.jsonl",
        bytes=1200,
        created_at=created_at,
        expires_at=expires_at,
    )


def a_batch(batch_id: str, *, input_file_id: str = "file-in", created_at: int = NOW) -> BatchRecord:
    return BatchRecord(
        id=batch_id,
        project_id=MINE,
        endpoint="/v1/chat/completions",
        input_file_id=input_file_id,
        completion_window="24h",
        created_at=created_at,
        expires_at=created_at + DAY,
        metadata={"run": "a7"},
    )


def shards_of(count: int, *, requests: int = 10) -> list[Shard]:
    """Return shards of equal size, 100 bytes to a line."""
    return [
        Shard(
            number=number,
            line_first=number * requests + 1,
            requests=requests,
            offset=number * requests * 100,
            length=requests * 100,
        )
        for number in range(count)
    ]


def add_a_batch(store: Store, batch_id: str, *, created_at: int = NOW) -> None:
    """Put a batch there, and the file that all these batches read."""
    if store.file(MINE, "file-in", now=NOW) is None:
        store.add_file(a_file("file-in"))
    store.add_batch(a_batch(batch_id, created_at=created_at))


def start_a_batch(store: Store, batch_id: str, *, shards: int = 3, model: str = "model-1") -> None:
    """Put a batch in progress."""
    add_a_batch(store, batch_id)
    assert store.start_batch(batch_id, model=model, shards=shards_of(shards), now=NOW + 1)


def a_report(lease: Lease, *, completed: int = 0, failed: int = 0, done: bool = False) -> ShardReport:
    """Return a report whose usage is 7 input and 3 output tokens for each completed request."""
    return ShardReport(
        batch_id=lease.batch_id,
        number=lease.shard.number,
        epoch=lease.epoch,
        completed=completed,
        failed=failed,
        usage=BatchUsage(input_tokens=7 * completed, output_tokens=3 * completed),
        done=done,
    )


def work_off(store: Store, worker_id: str, leases: Sequence[Lease]) -> None:
    """Report every request of these shards as completed."""
    store.report(worker_id, [a_report(lease, completed=lease.shard.requests, done=True) for lease in leases])


def an_ending(
    batch_id: str, *, status: BatchStatus = BatchStatus.COMPLETED, files: Sequence[FileRecord] = ()
) -> Ending:
    return Ending(
        batch_id=batch_id,
        status=status,
        files=tuple(files),
        output_file_id=files[0].id if files else None,
        error_file_id=None,
        counts=RequestCounts(total=30, completed=28, failed=2),
        usage=BatchUsage(input_tokens=196, cached_tokens=4, output_tokens=84, reasoning_tokens=5),
    )


def a_state(
    name: str, *, state: str = "open", limit_found: float | None = None, in_flight: int = 3, worker_id: str = "w1"
) -> UpstreamState:
    return UpstreamState(
        worker_id=worker_id,
        name=name,
        state=state,
        reason=None if state == "open" else f"{name} is {state}.",
        limit_found=limit_found,
        in_flight=in_flight,
        updated_at=NOW,
    )
