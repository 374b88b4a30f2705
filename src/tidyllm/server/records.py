"""What the server remembers, as frozen values; only the queries know column names."""

import msgspec

from tidyllm.core.batch import BatchStatus, BatchUsage, Problem, RequestCounts


class FileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One file, as the Files API shows it."""

    id: str
    project_id: str
    blob: str
    """Key of its bytes among the blobs."""
    purpose: str
    filename: str
    bytes: int
    created_at: int
    """Seconds since 1970 UTC, like every time here."""
    expires_at: int | None = None


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One batch; its counts and usage are the sums over its shards as last reported, frozen when it ends."""

    id: str
    project_id: str
    endpoint: str
    """Path of the endpoint every line must name, such as /v1/chat/completions."""
    input_file_id: str
    input_blob: str | None = None
    """Key of the input's bytes, pinned until the batch ends; null where no such file was found at creation."""
    completion_window: str
    created_at: int
    expires_at: int
    status: BatchStatus = BatchStatus.VALIDATING
    model: str | None = None
    """Known once the input has been read."""
    metadata: dict[str, str] | None = None
    output_expires_after_s: int | None = None
    in_order: bool = False
    """Whether its lines are to be sent in input order, even where another order would let an upstream read less."""
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    lapsed: bool = False
    """Its completion window closed before it was done: `finalizing` will end in `expired`."""
    problems: tuple[Problem, ...] = ()
    counts: RequestCounts = RequestCounts()
    usage: BatchUsage = BatchUsage()


SHARD_REQUESTS_MAX = 512
"""Lines of one shard."""


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """A run of consecutive lines of a batch's input file: the unit of leasing."""

    number: int
    """0-based, in input order."""
    line_first: int
    """1-based line number of its first line in the input file; blank lines are counted."""
    requests: int
    """Lines that are not blank."""
    offset: int
    """Of its first byte in the input file."""
    length: int
    """Its bytes, from its first line's first byte to its last line's end."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A shard that a worker holds, with what it needs of the batch."""

    batch_id: str
    endpoint: str
    input_blob: str
    epoch: int
    """Grows with every lease of the shard: 1 is the first. A report with another epoch changes nothing."""
    shard: Shard
    model: str
    project_id: str
    expires_at: int
    """When the batch's completion window closes."""
    in_order: bool
    """As the batch has it."""
    remaining: int
    """Of the batch's requests, those that were neither completed nor failed when the shard was leased."""


class ShardReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has durably done in a shard so far; absolute numbers, not increments."""

    batch_id: str
    number: int
    epoch: int
    completed: int
    failed: int
    usage: BatchUsage
    done: bool = False
    """Every line is in the journal, or the batch is stopping and nothing of the shard is in flight."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What the finisher publishes of a batch, all of it in one transaction."""

    batch_id: str
    status: BatchStatus
    """completed, expired or cancelled."""
    files: tuple[FileRecord, ...]
    """The result files that have at least one line."""
    output_file_id: str | None
    error_file_id: str | None
    counts: RequestCounts
    usage: BatchUsage


class UpstreamState(msgspec.Struct, frozen=True, kw_only=True):
    """How one upstream is, as one worker sees it."""

    worker_id: str
    name: str
    """As it is declared in the settings."""
    state: str
    reason: str | None = None
    """Why it is in that state, for people; null where nothing needs to be said."""
    limit_found: float | None = None
    """Requests at once that it has been found to take from this worker; null while that is not known."""
    in_flight: int
    updated_at: int
