"""The store in a SQL database: each method is one transaction around the questions it asks."""

import contextlib
from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Engine

from tidyllm.core.batch import Problem
from tidyllm.server.records import BatchRecord, Ending, FileRecord, Lease, Shard, ShardReport, UpstreamState
from tidyllm.server.states import ShardState
from tidyllm.server.stores.sql.queries import batches, files, shards, upstreams, workers
from tidyllm.server.stores.sql.trouble import told, transaction

_IDS_PER_QUESTION = 500


class SqlStore:
    """`Store` over an engine that `sqlite_engine` made; for one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._reading = engine
        self._writing = engine.execution_options(writes=True)

    # Files

    def add_file(self, file: FileRecord) -> None:
        """See `Store`."""
        with transaction(self._writing) as connection:
            files.add(connection, [file])

    def file(self, project_id: str, file_id: str, *, now: int) -> FileRecord | None:
        """See `Store`."""
        with transaction(self._reading) as connection:
            return files.visible(connection, file_id, project_id=project_id, now=now)

    def list_files(
        self, project_id: str, *, now: int, limit: int, after: str | None, purpose: str | None, newest_first: bool
    ) -> list[FileRecord] | None:
        """See `Store`; a deleted file may still be named in `after`."""
        with transaction(self._reading) as connection:
            place = None if after is None else files.place(connection, after, project_id=project_id)
            if after is not None and place is None:
                return None
            return files.page(
                connection,
                project_id,
                now=now,
                limit=limit,
                after=place,
                purpose=purpose,
                newest_first=newest_first,
            )

    def delete_file(self, project_id: str, file_id: str, *, now: int) -> bool:
        """See `Store`."""
        with transaction(self._writing) as connection:
            return files.delete(connection, file_id, project_id=project_id, now=now)

    def purgeable_blobs(self, *, now: int, limit: int) -> list[str]:
        """See `Store`."""
        with transaction(self._reading) as connection:
            return files.purgeable_blobs(connection, now=now, limit=limit)

    def unknown_blobs(self, blobs: Sequence[str]) -> set[str]:
        """See `Store`."""
        known: set[str] = set()
        with transaction(self._reading) as connection:
            for start in range(0, len(blobs), _IDS_PER_QUESTION):
                known |= files.owned(connection, blobs[start : start + _IDS_PER_QUESTION])
        return set(blobs) - known

    def blobs_purged(self, blobs: Sequence[str], *, now: int) -> None:
        """See `Store`."""
        with transaction(self._writing) as connection:
            files.mark_purged(connection, blobs, now=now)

    # Batches, as the API sees them

    def add_batch(self, batch: BatchRecord) -> BatchRecord:
        """See `Store`."""
        with transaction(self._writing) as connection:
            blob = files.pin(connection, batch.input_file_id, project_id=batch.project_id, now=batch.created_at)
            pinned = msgspec.structs.replace(batch, input_blob=blob)
            batches.add(connection, pinned)
            return pinned

    def batch(self, project_id: str, batch_id: str) -> BatchRecord | None:
        """See `Store`."""
        with transaction(self._reading) as connection:
            return batches.one(connection, batch_id, project_id=project_id)

    def list_batches(self, project_id: str, *, limit: int, after: str | None) -> list[BatchRecord] | None:
        """See `Store`."""
        with transaction(self._reading) as connection:
            place = None if after is None else batches.place(connection, after, project_id=project_id)
            if after is not None and place is None:
                return None
            return batches.page(connection, project_id, limit=limit, after=place)

    def cancel_batch(self, project_id: str, batch_id: str, *, now: int) -> bool:
        """See `Store`."""
        with transaction(self._writing) as connection:
            return batches.cancel(connection, batch_id, project_id=project_id, now=now)

    # Intake, expiry and finish

    def unread_batches(self, *, limit: int) -> list[BatchRecord]:
        """See `Store`."""
        with transaction(self._reading) as connection:
            return batches.unread(connection, limit=limit)

    def start_batch(self, batch_id: str, *, model: str, shards: Sequence[Shard], now: int) -> bool:
        """See `Store`."""
        with transaction(self._writing) as connection:
            return batches.start(connection, batch_id, model=model, shards=shards, now=now)

    def fail_batch(self, batch_id: str, *, problems: Sequence[Problem], now: int) -> bool:
        """See `Store`."""
        with transaction(self._writing) as connection:
            return batches.fail(connection, batch_id, problems=problems, now=now)

    def lapse_batches(self, *, now: int) -> int:
        """See `Store`."""
        with transaction(self._writing) as connection:
            return batches.lapse_unread(connection, now=now) + batches.lapse_running(connection, now=now)

    def finalize_batches(self, *, now: int) -> int:
        """See `Store`."""
        with transaction(self._writing) as connection:
            return batches.finalize_done(connection, now=now)

    def finishable_batches(self, *, stopped_before: int, limit: int) -> list[BatchRecord]:
        """See `Store`."""
        with transaction(self._reading) as connection:
            return batches.finishable(connection, stopped_before=stopped_before, limit=limit)

    def ended_batches(self, batch_ids: Sequence[str]) -> set[str]:
        """See `Store`."""
        ended: set[str] = set()
        with transaction(self._reading) as connection:
            for start in range(0, len(batch_ids), _IDS_PER_QUESTION):
                ended |= batches.ended(connection, batch_ids[start : start + _IDS_PER_QUESTION])
        return ended

    def shards(self, batch_id: str) -> list[Shard]:
        """See `Store`."""
        with transaction(self._reading) as connection:
            return shards.of_batch(connection, batch_id)

    def publish(self, ending: Ending, *, now: int) -> bool:
        """See `Store`."""
        with transaction(self._writing) as connection:
            if not batches.end(connection, ending, now=now):
                return False
            files.add(connection, ending.files)
            return True

    # Workers

    def add_worker(self, worker_id: str, *, pid: int, now: int) -> None:
        """See `Store`."""
        with transaction(self._writing) as connection:
            workers.add(connection, worker_id, pid=pid, now=now)

    def live_workers(self) -> list[str]:
        """See `Store`; the oldest first."""
        with transaction(self._reading) as connection:
            return workers.live(connection)

    def bury_worker(self, worker_id: str, *, now: int) -> int:
        """See `Store`."""
        with transaction(self._writing) as connection:
            workers.bury(connection, worker_id, now=now)
            upstreams.forget_dead(connection)
            return shards.requeue(connection, worker_id)

    def claim_shards(
        self, worker_id: str, *, limit: int, leaving: Collection[str] = (), crowded: Collection[str] = ()
    ) -> list[Lease]:
        """See `Store`; a worker that is buried or unknown gets none."""
        with transaction(self._writing) as connection:
            return shards.claim(connection, worker_id, limit=limit, leaving=leaving, crowded=crowded)

    def release_shards(self, worker_id: str, reports: Sequence[ShardReport]) -> None:
        """See `Store`; a shard whose report says `done` is done."""
        with transaction(self._writing) as connection:
            shards.settle(connection, worker_id, reports=reports, unless_done=ShardState.QUEUED)

    def report(self, worker_id: str, reports: Sequence[ShardReport]) -> None:
        """See `Store`."""
        with transaction(self._writing) as connection:
            shards.settle(connection, worker_id, reports=reports, unless_done=ShardState.LEASED)

    def stopping_batches(self, worker_id: str) -> set[str]:
        """See `Store`."""
        with transaction(self._reading) as connection:
            return shards.stopping(connection, worker_id)

    # Upstreams

    def note_upstreams(self, worker_id: str, states: Sequence[UpstreamState], *, now: int) -> None:
        """See `Store`; what a worker notes that is buried or unknown is forgotten."""
        with transaction(self._writing) as connection:
            upstreams.note(connection, worker_id, states=states, now=now)

    def upstream_states(self) -> list[UpstreamState]:
        """See `Store`."""
        with transaction(self._reading) as connection:
            return upstreams.of_live_workers(connection)

    def learned_limit(self, name: str) -> float | None:
        """See `Store`."""
        with transaction(self._reading) as connection:
            return upstreams.newest_limit(connection, name)

    # The database itself

    def version(self) -> int:
        """See `Store`."""
        # The driver's own connection, and outside a transaction: one would show the number it began with.
        with told(), contextlib.closing(self._reading.raw_connection()) as connection:
            cursor = connection.cursor()
            cursor.execute("PRAGMA data_version")
            return int(cursor.fetchall()[0][0])

    def close(self) -> None:
        """See `Store`."""
        self._reading.dispose()
