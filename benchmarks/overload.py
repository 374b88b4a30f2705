"""What a model that takes 32 requests at once, 200 ms each, is asked to bear, and how much of it is used.

Once it refuses what is too much, with 429; once it lets it wait and says nothing. Measured after the server has had
time to settle, until few lines are left.
"""

import sys
from pathlib import Path

import msgspec

from benchmarks.report import Figure, Given, Plot, Report, given, tell
from benchmarks.rig import Http, Sampler, requests, serving, simulated, workshop, written
from tidyllm.testing import Behavior, Counts, OverCapacity

SLOTS = 32
LATENCY_S = 0.2
CAPACITY_PER_S = SLOTS / LATENCY_S
SETTLE_S = 15
MEASURE_S = 45
LEFT = 2 * SLOTS
"""Lines that are left when measuring ends."""
GOODPUT_MIN = 90
WAITING_MAX = 64
LOOK_S = 0.02
OK = 200
REFUSED = 429


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one batch; times in seconds since the first line came to the model."""

    held: list[tuple[float, float]]
    """Requests at the model, at work or waiting."""
    per_s: float
    """Good answers, once settled."""
    waiting: int
    """Most requests that waited at the model, once settled."""
    refused: float
    """Refusals for each good answer, once settled."""


def run(folder: Path, over: OverCapacity, *, asked: Given) -> Run:
    """Have a batch answered by a server that knows nothing of the model yet, and watch the model meanwhile."""
    folder.mkdir()
    settle_s, measure_s = asked.size(SETTLE_S), asked.size(MEASURE_S)
    count = round((settle_s + measure_s) * CAPACITY_PER_S) + LEFT
    lines = written(folder / "in.jsonl", requests(count))
    behavior = Behavior(latency_ms=LATENCY_S * 1000, capacity=SLOTS, over_capacity=over)
    with simulated(folder, behavior) as url, serving(folder, url) as server:
        model = Http(url)
        with Sampler(model.counts, every_s=LOOK_S) as watch:
            batch = server.create(server.upload(lines))
            server.wait(batch.id)
    began = next(moment for moment, counts in watch.samples if counts.received)
    samples = [(moment - began, counts) for moment, counts in watch.samples if moment >= began]
    settled = [
        (moment, counts)
        for moment, counts in samples
        if moment >= settle_s and counts.statuses.get(OK, 0) <= count - LEFT
    ]
    good = _gained(settled, OK)
    return Run(
        held=[(moment, float(counts.in_flight)) for moment, counts in samples],
        per_s=good / (settled[-1][0] - settled[0][0]),
        waiting=max(max(counts.in_flight - SLOTS, 0) for _, counts in settled),
        refused=_gained(settled, REFUSED) / good,
    )


def _gained(samples: list[tuple[float, Counts]], status: int) -> int:
    return samples[-1][1].statuses.get(status, 0) - samples[0][1].statuses.get(status, 0)


def figures(name: str, run: Run) -> list[Figure]:
    """Return the rows of one run."""
    share = run.per_s / CAPACITY_PER_S
    return [
        Figure(name=f"{name}: good answers", value=run.per_s, unit="lines/s", ratio=share),
        Figure(name=f"{name}: of the capacity", value=100 * share, unit="%", at_least=GOODPUT_MIN),
        Figure(name=f"{name}: most waiting at the model", value=run.waiting, unit="requests", at_most=WAITING_MAX),
        Figure(name=f"{name}: refusals per good answer", value=run.refused, unit=""),
    ]


def main() -> int:
    """Measure both ways to be too busy, and tell."""
    asked = given("overload", about=__doc__)
    with workshop() as folder:
        runs = {over.value: run(folder / over.value, over, asked=asked) for over in OverCapacity}
    rows = [Figure(name="the model's capacity (floor)", value=CAPACITY_PER_S, unit="lines/s", ratio=1)]
    rows += [figure for name, found in runs.items() for figure in figures(name, found)]
    plot = Plot(
        x="seconds since the first request",
        y="requests at the model",
        curves={name: found.held for name, found in runs.items()},
        levels={"slots": SLOTS, "slots and the most that may wait": SLOTS + WAITING_MAX},
    )
    title = f"overload: a model of {SLOTS} slots and {LATENCY_S * 1000:g} ms, measured once settled"
    return tell(Report(name="overload", title=title, figures=rows, plot=plot), asked)


if __name__ == "__main__":
    sys.exit(main())
