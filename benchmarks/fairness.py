"""How much longer a batch of 50 lines takes while one of 50,000 runs than alone, at a model of 1 s and 256 slots.

The small batches come one after the other, at random moments, in the same project as the large one, which need not end.
"""

import random
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import POLL_S, Server, requests, serving, simulated, workshop, written
from tidyllm.testing import Behavior

SLOTS = 256
BEHAVIOR = Behavior(latency_ms=1000, capacity=SLOTS)
LARGE = 50_000
SMALL = 50
ALONE = 3
AMONG = 8
WITHIN_S = 90
"""The small batches come within this time after the large one has begun to run."""
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


def figures(alone: list[float], among: list[tuple[float, float]]) -> list[Figure]:
    """Return the rows."""
    floor = median(alone)
    ratios = [seconds / floor for _, seconds in among]
    return [
        Figure(name="small batch alone, median (floor)", value=floor, unit="s", ratio=1),
        Figure(name="among the large one's, median", value=median(ratios) * floor, unit="s", ratio=median(ratios)),
        Figure(name="among the large one's, slowest", value=max(ratios) * floor, unit="s", ratio=max(ratios)),
        Figure(name="the slowest, to the floor", value=max(ratios), unit="times", at_most=RATIO_MAX),
    ]


def main() -> int:
    """Measure small batches alone and among the lines of a large one, and tell."""
    asked = given("fairness", about=__doc__)
    with workshop() as folder, simulated(folder, BEHAVIOR) as url, serving(folder, url, cancel_grace_s=0) as server:
        small = written(folder / "small.jsonl", requests(SMALL, name="small"))
        large = written(folder / "large.jsonl", requests(asked.size(LARGE), name="large"))
        alone = [small_s(server, small) for _ in range(ALONE)]
        batch = server.create(server.upload(large))
        server.wait(batch.id, until="in_progress")
        among = among_s(server, small, count=asked.size(AMONG, least=3), within_s=asked.size(WITHIN_S))
        at_the_end = server.batch(batch.id)
    notes = [f"At the end the large batch had answered {at_the_end.request_counts.completed:,} lines."]
    if at_the_end.status != "in_progress":
        notes.append("It ended before the last small one: the figures are too good.")
    if any(seconds == PATIENCE_S for _, seconds in among):
        notes.append(f"Small batches were given up after {PATIENCE_S} s: the true figures are worse.")
    plot = Plot(
        x="seconds after the large batch began to run",
        y="seconds that the small batch took",
        curves={"among the large one's": among},
        levels={"alone": median(alone), "bar": RATIO_MAX * median(alone)},
    )
    title = f"fairness: {SMALL} lines among {asked.size(LARGE):,}, same project, {SLOTS} slots of 1 s"
    report = Report(name="fairness", title=title, figures=figures(alone, among), plot=plot, notes=notes)
    return tell(report, asked)


if __name__ == "__main__":
    sys.exit(main())
