"""How much longer a batch of 50 lines takes while one of 50,000 runs than alone, at a model of 1 s and 256 slots.

The small batches come one after the other, at random moments, first in the same project as the large one, then in
another. The large one need not end. As a server has one project so far, the other one is made in its database.
"""

import contextlib
import random
import sqlite3
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import POLL_S, Server, requests, serving, simulated, workshop, written
from tidyllm.server.store import DEFAULT_PROJECT
from tidyllm.server.stores.sql.engine import database_path
from tidyllm.testing import Behavior

SLOTS = 256
BEHAVIOR = Behavior(latency_ms=1000, capacity=SLOTS)
LARGE = 50_000
SMALL = 50
ALONE = 3
AMONG = 8
WITHIN_S = 90
"""The small batches come within this time after the large one was created."""
RATIO_MAX = 2
PATIENCE_S = 20
"""A small batch that takes longer is given up and counts as having taken that long."""
SEED = 1


def small_s(server: Server, path: Path) -> float:
    """Return how long a small batch takes, from the begin of its upload until it is seen to be completed."""
    began = time.monotonic()
    batch = server.create(server.upload(path))
    while server.batch(batch.id).status != "completed":
        if time.monotonic() - began > PATIENCE_S:
            server.cancel(batch.id)
            server.wait(batch.id, until="cancelled")
            return PATIENCE_S
        time.sleep(POLL_S)
    return time.monotonic() - began


def among_s(server: Server, path: Path, *, count: int, within_s: float) -> list[tuple[float, float]]:
    """Return at which moment each small batch came, and how long it took."""
    rng = random.Random(SEED)
    began = time.monotonic()
    found: list[tuple[float, float]] = []
    for moment in sorted(rng.uniform(0, within_s) for _ in range(count)):
        time.sleep(max(moment - (time.monotonic() - began), 0))
        found.append((time.monotonic() - began, small_s(server, path)))
    return found


def move(server: Server, batch_id: str, *, project_id: str) -> None:
    """Have a batch belong to a project, which is made if need be."""
    with contextlib.closing(sqlite3.connect(database_path(server.data))) as database, database:
        database.execute("INSERT OR IGNORE INTO project (id, name) VALUES (?1, ?1)", (project_id,))
        database.execute("UPDATE batch SET project_id = ? WHERE id = ?", (project_id, batch_id))


def figures(situation: str, among: list[tuple[float, float]], *, floor: float) -> list[Figure]:
    """Return the rows of one situation."""
    ratios = [seconds / floor for _, seconds in among]
    return [
        Figure(name=f"{situation}: median", value=median(ratios) * floor, unit="s", ratio=median(ratios)),
        Figure(name=f"{situation}: slowest", value=max(ratios) * floor, unit="s", ratio=max(ratios)),
        Figure(name=f"{situation}: the slowest, to the floor", value=max(ratios), unit="times", at_most=RATIO_MAX),
    ]


def main() -> int:
    """Measure small batches alone and among the lines of a large one, and tell."""
    asked = given("fairness", about=__doc__)
    found: dict[str, list[tuple[float, float]]] = {}
    notes: list[str] = []
    with workshop() as folder, simulated(folder, BEHAVIOR) as url, serving(folder, url, cancel_grace_s=0) as server:
        small = written(folder / "small.jsonl", requests(SMALL, name="small"))
        large = written(folder / "large.jsonl", requests(asked.size(LARGE), name="large"))
        alone = [small_s(server, small) for _ in range(ALONE)]
        file_id = server.upload(large)
        for situation, project_id in (("same project", DEFAULT_PROJECT), ("another project", "proj_other")):
            batch = server.create(file_id)
            move(server, batch.id, project_id=project_id)
            found[situation] = among_s(server, small, count=asked.size(AMONG, least=3), within_s=asked.size(WITHIN_S))
            move(server, batch.id, project_id=DEFAULT_PROJECT)
            at_the_end = server.batch(batch.id)
            notes.append(f"{situation}: at the end {at_the_end.request_counts.completed:,} of the large one were done.")
            if at_the_end.status != "in_progress":
                notes.append("It ended before the last small one: the figures are too good.")
            else:
                server.cancel(batch.id)
                server.wait(batch.id, until="cancelled")
    if any(seconds == PATIENCE_S for among in found.values() for _, seconds in among):
        notes.append(f"Small batches were given up after {PATIENCE_S} s: the true figures are worse.")
    floor = median(alone)
    rows = [Figure(name="small batch alone, median (floor)", value=floor, unit="s", ratio=1)]
    for situation, among in found.items():
        rows += figures(situation, among, floor=floor)
    plot = Plot(
        x="seconds after the large batch was created",
        y="seconds that the small batch took",
        curves=found,
        levels={"alone": floor, "bar": RATIO_MAX * floor},
    )
    title = f"fairness: {SMALL} lines among {asked.size(LARGE):,}, {SLOTS} slots of 1 s"
    return tell(Report(name="fairness", title=title, figures=rows, plot=plot, notes=notes), asked)


if __name__ == "__main__":
    sys.exit(main())
