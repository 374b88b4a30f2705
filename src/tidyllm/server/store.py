"""What the server asks of its database; one implementation per folder of `stores/`.

Every method is one transaction. Methods are synchronous and are called on one thread per process. A method that
moves a state returns whether it moved: False means that somebody else moved first. All raise StorageError where the
database is full, read-only, failing or locked too long: nothing was done then, and it may be asked again.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from tidyllm.core.batch import Problem
from tidyllm.server.records import BatchRecord, Ending, FileRecord, Lease, Shard, ShardReport, UpstreamState

DEFAULT_PROJECT = "proj_default"
"""The project that owns everything where nobody has made another; the first migration inserts it."""


class Store(Protocol):
    """The server's memory."""

    # Files

    def add_file(self, file: FileRecord) -> None:
        """Remember an uploaded file whose bytes are already durable."""
        ...

    def file(self, project_id: str, file_id: str, *, now: int) -> FileRecord | None:
        """Return a file that is neither deleted nor expired."""
        ...

    def list_files(
        self, project_id: str, *, now: int, limit: int, after: str | None, purpose: str | None, newest_first: bool
    ) -> list[FileRecord] | None:
        """Return a page of files; None if `after` is unknown. `limit` may be one more than the page."""
        ...

    def delete_file(self, project_id: str, file_id: str, *, now: int) -> bool:
        """Forget a file: its id is unknown from now on. Its bytes go when no unfinished batch reads them."""
        ...

    def purgeable_blobs(self, *, now: int, limit: int) -> list[str]:
        """Return keys of blobs whose file is deleted or expired and which no unfinished batch reads."""
        ...

    def unknown_blobs(self, blobs: Sequence[str]) -> set[str]:
        """Return which of these keys belong to no file, or to one whose bytes are to be gone."""
        ...

    def blobs_purged(self, blobs: Sequence[str], *, now: int) -> None:
        """Remember that these bytes are gone."""
        ...

    # Batches, as the API sees them

    def add_batch(self, batch: BatchRecord) -> BatchRecord:
        """Remember a new batch, in `validating`, and return it with its input pinned, if there is such a file.

        In one transaction: no file is deleted, and its bytes removed, between the look and the pin.
        """
        ...

    def batch(self, project_id: str, batch_id: str) -> BatchRecord | None:
        """Return a batch with its current counts."""
        ...

    def list_batches(self, project_id: str, *, limit: int, after: str | None) -> list[BatchRecord] | None:
        """Return a page of batches, the newest first, with their current counts; None if `after` is unknown."""
        ...

    def cancel_batch(self, project_id: str, batch_id: str, *, now: int) -> bool:
        """Move a batch from validating or in_progress to cancelling."""
        ...

    # Intake, expiry and finish

    def unread_batches(self, *, limit: int) -> list[BatchRecord]:
        """Return the oldest batches whose input has not been read: those in `validating`."""
        ...

    def start_batch(self, batch_id: str, *, model: str, shards: Sequence[Shard], now: int) -> bool:
        """Store the shards and move a batch from validating to in_progress; its total is the sum of their requests."""
        ...

    def fail_batch(self, batch_id: str, *, problems: Sequence[Problem], now: int) -> bool:
        """Move a batch from validating to failed."""
        ...

    def lapse_batches(self, *, now: int) -> int:
        """Mark as lapsed the batches in validating or in_progress whose window has closed; return how many.

        One in progress moves to finalizing; one still validating moves to failed with the problem `batch_expired`.
        """
        ...

    def finalize_batches(self, *, now: int) -> int:
        """Move to finalizing the batches in progress whose shards are all done; return how many."""
        ...

    def finishable_batches(self, *, stopped_before: int, limit: int) -> list[BatchRecord]:
        """Return the batches that can be published.

        Those in finalizing or cancelling that have no leased shard, or that stopped (`cancelling_at`, or
        `finalizing_at` of a lapsed one) before that time.
        """
        ...

    def ended_batches(self, batch_ids: Sequence[str]) -> set[str]:
        """Return which of these are batches that have ended."""
        ...

    def shards(self, batch_id: str) -> list[Shard]:
        """Return a batch's shards in input order."""
        ...

    def publish(self, ending: Ending, *, now: int) -> bool:
        """Insert the result files' rows and end the batch: move it from finalizing or cancelling to its end state."""
        ...

    # Workers

    def add_worker(self, worker_id: str, *, pid: int, now: int) -> None:
        """Remember a worker that is about to claim; its lock file is already held."""
        ...

    def live_workers(self) -> list[str]:
        """Return the ids of workers not known to be dead."""
        ...

    def bury_worker(self, worker_id: str, *, now: int) -> int:
        """Mark a worker dead and put its leased shards back to queued; return how many shards.

        Of what dead workers noted of upstreams only the newest limit of each upstream stays, as a memory.
        """
        ...

    def claim_shards(
        self, worker_id: str, *, limit: int, leaving: Collection[str] = (), crowded: Collection[str] = ()
    ) -> list[Lease]:
        """Lease up to `limit` queued shards of batches in progress, but of those named in `leaving`, and of the models
        named in `crowded` only of batches of which the worker holds shards already.

        First one shard of each batch, the oldest batch first; then a second one of each, and so on. Of each batch they
        are taken in input order.
        """
        ...

    def release_shards(self, worker_id: str, reports: Sequence[ShardReport]) -> None:
        """Put shards that the worker holds back to queued, with what was done in them."""
        ...

    def report(self, worker_id: str, reports: Sequence[ShardReport]) -> None:
        """Store counts and ends of shards that the worker holds; a report of another epoch changes nothing."""
        ...

    def stopping_batches(self, worker_id: str) -> set[str]:
        """Return the ids of batches no longer in progress of which the worker still holds shards."""
        ...

    # Upstreams

    def note_upstreams(self, worker_id: str, states: Sequence[UpstreamState], *, now: int) -> None:
        """Remember how a live worker's upstreams are, in place of all that it noted before.

        The worker and the time are those given here, whatever the states say.
        """
        ...

    def upstream_states(self) -> list[UpstreamState]:
        """Return what live workers have noted, ordered by the upstreams' names and then by worker."""
        ...

    def learned_limit(self, name: str) -> float | None:
        """Return the newest limit that a worker, live or dead, has found for an upstream; None if there is none."""
        ...

    # The database itself

    def version(self) -> int:
        """Return a number that changes when another process has committed; cheap enough to ask 20 times a second."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...
