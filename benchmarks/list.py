"""How long `GET /v1/batches?limit=20` takes among a million batches, when nothing runs and when dispatch does.

The floor is GET /health over the same connection in the same moments: questions take turns, with a short pause
between them, so that noise meets all of them and the asking itself takes little of what is measured.

Dispatch at full rate is measured twice. First as it is: model, worker, clerk, api and this program share the machine's
processors, and waiting for one of them is part of what is measured. Then with the api and this program at once
on a processor when they are ready (real-time scheduling, where it is allowed): what the server itself takes.
"""

import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, insert

from benchmarks.report import Figure, Given, Plot, Report, given, tell
from benchmarks.rig import Http, Server, requests, serving, simulated, workshop, written
from tidyllm.core.batch import BatchStatus
from tidyllm.server.store import DEFAULT_PROJECT
from tidyllm.server.stores.sql.engine import database_path, sqlite_engine
from tidyllm.server.stores.sql.migrate import migrate
from tidyllm.server.stores.sql.schema import batch

BATCHES = 1_000_000
REPEATS = 1_000
WARM = 50
PAUSE_S = 0.005
RUNNING = 20
"""Batches that run at once while dispatch does: the whole first page."""
LINES = 5_000
"""Of each of them."""
CHUNK = 50_000
P50_MS_MAX = 3
P99_MS_MAX = 5
FLOOR = "GET /health (floor)"
HEAD = "first page"
MIDDLE = "page in the middle"
NO_COUNTS = dict.fromkeys(
    ("completed", "failed", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"), 0
)

IDLE = "idle"
RUN = "dispatch at full rate"
AT_ONCE = "dispatch at full rate, api at once on a processor"
DENIED = f"{AT_ONCE}: not measured, as real-time scheduling is not allowed here"

Seconds = dict[str, list[float]]


def batch_id(seq: int) -> str:
    """Return the id of the batch that came `seq`-th."""
    return f"batch_{seq:032x}"


def batch_rows(first: int, *, last: int) -> Iterator[dict[str, object]]:
    """Yield rows of batches that have ended."""
    for seq in range(first, last + 1):
        yield NO_COUNTS | {
            "seq": seq,
            "id": batch_id(seq),
            "project_id": DEFAULT_PROJECT,
            "endpoint": "/v1/chat/completions",
            "input_file_id": f"file-{seq:024x}",
            "input_blob": f"file-{seq:024x}",
            "completion_window": "24h",
            "status": BatchStatus.COMPLETED.value,
            "model": "qwen3-4b",
            "metadata": '{"run":"a7"}',
            "created_at": 1_700_000_000 + seq,
            "expires_at": 1_700_086_400 + seq,
            "in_progress_at": 1_700_000_001 + seq,
            "ended_at": 1_700_000_009 + seq,
            "lapsed": False,
            "total": 50_000,
            "completed": 50_000,
        }


def fill(data: Path, total: int) -> None:
    """Make the database of a server's data folder, with so many batches in it."""
    data.mkdir(mode=0o700)
    migrate(data)
    engine = sqlite_engine(database_path(data))
    with engine.execution_options(writes=True).begin() as connection:
        _insert(connection, total)
    engine.dispose()


def _insert(connection: Connection, total: int) -> None:
    for first in range(1, total + 1, CHUNK):
        connection.execute(insert(batch), list(batch_rows(first, last=min(first + CHUNK - 1, total))))


def ask(http: Http, *, total: int, repeats: int, going: Callable[[bytes], bool] = lambda _: True) -> Seconds:
    """Return the seconds each question took; `going` is shown each first page, and says whether to go on."""
    paths = {
        FLOOR: "/health",
        MIDDLE: f"/v1/batches?limit=20&after={batch_id(total // 2)}",
        HEAD: "/v1/batches?limit=20",
    }
    seconds: Seconds = {name: [] for name in paths}
    for _ in range(repeats):
        for name, path in paths.items():
            time.sleep(PAUSE_S)
            began = time.perf_counter()
            answer = http.ask("GET", path)
            seconds[name].append(time.perf_counter() - began)
        if not going(answer):
            break
    return seconds


def ask_while_running(server: Server, file_id: str, *, total: int, repeats: int) -> tuple[Seconds, float]:
    """Return the seconds of each question while dispatch runs, and how many lines a second it answered meanwhile."""
    began = time.monotonic()
    created = [server.create(file_id) for _ in range(RUNNING)]
    while server.batch(created[0].id).status == "validating":
        time.sleep(PAUSE_S)
    seconds = ask(server.http, total=total, repeats=repeats, going=lambda page: b'"in_progress"' in page)
    done = [server.wait(one.id) for one in created]
    return seconds, sum(one.request_counts.total for one in done) / (time.monotonic() - began)


@contextmanager
def at_once(server: Server) -> Iterator[bool]:
    """Have the api and this process on a processor as soon as they are ready; yield whether that is allowed."""
    pids = (server.roles()["api"], os.getpid())
    threads = [int(task.name) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    try:
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield False
        return
    yield True
    for thread in threads:
        os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def figures(name: str, seconds: Seconds) -> Iterator[Figure]:
    """Yield the rows of one situation; the bars are for the first page."""
    unit = statistics.median(seconds[FLOOR])
    for question, found in seconds.items():
        bars = (P50_MS_MAX, P99_MS_MAX) if question == HEAD else (None, None)
        values = (statistics.median(found), statistics.quantiles(found, n=100)[98])
        for percentile, value, bar in zip(("p50", "p99"), values, bars, strict=True):
            label = f"{name}: {question}, {percentile}"
            yield Figure(name=label, value=value * 1000, unit="ms", ratio=value / unit, at_most=bar)


def measured(asked: Given) -> tuple[dict[str, Seconds], dict[str, float]]:
    """Return the seconds of each question in each situation, and how fast dispatch was meanwhile."""
    total, repeats = asked.size(BATCHES), asked.size(REPEATS)
    situations: dict[str, Seconds] = {}
    speeds: dict[str, float] = {}
    with workshop() as folder, simulated(folder) as url:
        fill(folder / "data", total)
        lines = written(folder / "in.jsonl", requests(asked.size(LINES)))
        with serving(folder, url) as server:
            file_id = server.upload(lines)
            ask(server.http, total=total, repeats=WARM)
            situations[IDLE] = ask(server.http, total=total, repeats=repeats)
            situations[RUN], speeds[RUN] = ask_while_running(server, file_id, total=total, repeats=repeats)
            with at_once(server) as allowed:
                if allowed:
                    found = ask_while_running(server, file_id, total=total, repeats=repeats)
                    situations[AT_ONCE], speeds[AT_ONCE] = found
    return situations, speeds


def main() -> int:
    """Measure the situations, and tell."""
    asked = given("list", about=__doc__)
    situations, speeds = measured(asked)
    rows = [figure for name, seconds in situations.items() for figure in figures(name, seconds)]
    rows.extend(Figure(name=f"{name}: meanwhile", value=speed, unit="lines/s") for name, speed in speeds.items())
    curves = {
        f"{name}: {question}": [
            (100 * place / len(found), 1000 * value) for place, value in enumerate(sorted(found), 1)
        ]
        for name, seconds in situations.items()
        for question, found in seconds.items()
        if question != MIDDLE
    }
    plot = Plot(x="percentile", y="ms", curves=curves, levels={"bar of p50": P50_MS_MAX, "bar of p99": P99_MS_MAX})
    total = asked.size(BATCHES)
    title = f"list: GET /v1/batches?limit=20 among {total:,} batches, SQLite {sqlite3.sqlite_version}"
    notes = () if AT_ONCE in situations else (DENIED,)
    return tell(Report(name="list", title=title, figures=rows, plot=plot, notes=notes), asked)


if __name__ == "__main__":
    sys.exit(main())
