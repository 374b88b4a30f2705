"""How long `list_batches(limit=20)` takes among a million batches, as a ratio to a bare SELECT by primary key."""

import argparse
import contextlib
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, select

from tidyllm.core.batch import BatchStatus
from tidyllm.server.store import DEFAULT_PROJECT
from tidyllm.server.stores.sql.engine import database_path, sqlite_engine
from tidyllm.server.stores.sql.migrate import migrate
from tidyllm.server.stores.sql.schema import batch, shard
from tidyllm.server.stores.sql.store import SqlStore

PAGE = 20
RUNNING = 20
SHARDS = 64
CHUNK = 50_000
YARDSTICK = "bare SELECT of one row"
NO_COUNTS = dict.fromkeys(
    ("completed", "failed", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"), 0
)


def batch_id(seq: int) -> str:
    """Return the id of the batch that came `seq`-th."""
    return f"batch_{seq:032x}"


def batch_rows(first: int, *, last: int, total: int) -> Iterator[dict[str, object]]:
    """Yield rows of ended batches, but for the newest, which run."""
    for seq in range(first, last + 1):
        runs = seq > total - RUNNING
        yield NO_COUNTS | {
            "seq": seq,
            "id": batch_id(seq),
            "project_id": DEFAULT_PROJECT,
            "endpoint": "/v1/chat/completions",
            "input_file_id": f"file-{seq:024x}",
            "input_blob": f"file-{seq:024x}",
            "completion_window": "24h",
            "status": (BatchStatus.IN_PROGRESS if runs else BatchStatus.COMPLETED).value,
            "model": "qwen3-4b",
            "metadata": '{"run":"a7"}',
            "created_at": 1_700_000_000 + seq,
            "expires_at": 1_700_086_400 + seq,
            "in_progress_at": 1_700_000_001 + seq,
            "ended_at": None if runs else 1_700_000_009 + seq,
            "lapsed": False,
            "total": 50_000,
            "completed": 0 if runs else 50_000,
        }


def shard_rows(total: int) -> Iterator[dict[str, object]]:
    """Yield the shards of the batches that run."""
    for seq in range(total - RUNNING + 1, total + 1):
        for number in range(SHARDS):
            place = {"line_first": number * 800 + 1, "requests": 800, "offset": number * 80_000, "length": 80_000}
            state = {"state": "queued", "epoch": 0, "completed": number}
            yield NO_COUNTS | {"batch_seq": seq, "number": number} | place | state


def fill(connection: Connection, total: int) -> None:
    """Insert the batches and the shards of those that run."""
    for first in range(1, total + 1, CHUNK):
        rows = list(batch_rows(first, last=min(first + CHUNK - 1, total), total=total))
        connection.execute(insert(batch), rows)
    connection.execute(insert(shard), list(shard_rows(total)))


def measure(asks: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, list[float]]:
    """Return the seconds each question took; they take turns, so that noise meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(repeats):
        for name, ask in asks.items():
            start = time.perf_counter()
            ask()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def show(seconds: dict[str, list[float]]) -> None:
    """Print the median and the 99th percentile of each question, and both as ratios to the yardstick's median."""
    unit = statistics.median(seconds[YARDSTICK])
    print(f"{'question':34} {'p50 ms':>8} {'p99 ms':>8} {'p50 ratio':>10} {'p99 ratio':>10}")
    for name, found in seconds.items():
        middle, high = statistics.median(found), statistics.quantiles(found, n=100)[98]
        print(f"{name:34} {middle * 1e3:8.3f} {high * 1e3:8.3f} {middle / unit:10.1f} {high / unit:10.1f}")


def questions(engine: Engine, store: SqlStore, *, total: int) -> dict[str, Callable[[], object]]:
    """Return what is asked, the yardstick first."""
    bare = select(batch.c.id).where(batch.c.seq == total // 2)

    def ask_bare() -> object:
        with engine.begin() as connection:
            return connection.execute(bare).one()

    def ask_driver() -> object:
        with contextlib.closing(engine.raw_connection()) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT id FROM batch WHERE seq = ?", (total // 2,))
            return cursor.fetchall()

    def page(after: int | None) -> Callable[[], object]:
        place = None if after is None else batch_id(after)
        return lambda: store.list_batches(DEFAULT_PROJECT, limit=PAGE, after=place)

    return {
        YARDSTICK: ask_bare,
        "the same, past SQLAlchemy": ask_driver,
        "page at the head (all running)": page(None),
        "page behind it (all ended)": page(total - RUNNING + 1),
        "page in the middle": page(total // 2),
        "page at the end": page(PAGE + 1),
        "one batch": lambda: store.batch(DEFAULT_PROJECT, batch_id(total // 2)),
    }


def main() -> None:
    """Build the database in a temporary folder, ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        migrate(Path(folder))
        engine = sqlite_engine(database_path(Path(folder)))
        with engine.execution_options(writes=True).begin() as connection:
            fill(connection, given.batches)
        store = SqlStore(engine)
        asks = questions(engine, store, total=given.batches)
        measure(asks, repeats=20)
        print(f"{given.batches} batches, SQLite {sqlite3.sqlite_version}")
        show(measure(asks, repeats=given.repeats))
        store.close()


if __name__ == "__main__":
    main()
