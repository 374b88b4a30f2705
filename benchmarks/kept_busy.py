"""How much of a model that takes 256 requests at once is used, by a server that was not told how many it takes.

Measured from the moment when all 256 slots are at work for the first time until the last line has been sent: the time
before it, in which the server finds the limit, and the tail after it are told apart. Latencies are 1 s each, then
lognormal with a median of 1 s and one in a hundred above 10 s.
"""

import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from benchmarks.report import Figure, Given, Plot, Report, given, tell
from benchmarks.rig import Http, Sampler, bodies, requests, serving, simulated, workshop, written
from tidyllm.testing import Behavior, Counts, LatencyShape

SLOTS = 256
SECONDS = 90
"""About how long a run takes when all slots are at work."""
BUSY_MIN = 97
LOOK_S = 0.02
FIXED = Behavior(latency_ms=1000, capacity=SLOTS)
LOGNORMAL = Behavior(
    latency_ms=1000, capacity=SLOTS, latency_shape=LatencyShape.LOGNORMAL, latency_p99_ratio=10, seed=5
)
MEAN_S = {"fixed": 1.0, "lognormal": 1.63}
"""Roughly, to choose the number of lines; the ideal is reckoned from the true latency of each line."""

Samples = Sequence[tuple[float, Counts]]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one batch; times in seconds since its upload began."""

    at_work: list[tuple[float, float]]
    """Slots of the model at work, over time."""
    full_at: float | None
    """When all slots were at work for the first time, if ever."""
    sent_at: float
    """When the last line had come to the model."""
    done_at: float
    ideal_s: float
    """The latencies of all lines, divided by the slots."""

    def busy(self, begin: float, end: float) -> float:
        """Return the share of all slots that was at work between two moments."""
        return slot_seconds(self.at_work, begin=begin, end=end) / (SLOTS * (end - begin)) if end > begin else 0.0


def slot_seconds(at_work: Sequence[tuple[float, float]], *, begin: float, end: float) -> float:
    """Return the area below the curve; each look counts until the next one."""
    return sum(slots * max(min(then, end) - max(now, begin), 0) for (now, slots), (then, _) in pairwise(at_work))


def latencies_s(behavior: Behavior, lines: Path) -> float:
    """Return the sum of the latencies that the model has in store for the lines."""
    return sum(behavior.plan(behavior.digest(body), 1).latency_s for body in bodies(lines))


def run(folder: Path, behavior: Behavior, *, count: int) -> Run:
    """Have a batch answered by a server that knows nothing of the model yet, and watch the model meanwhile."""
    folder.mkdir()
    lines = written(folder / "in.jsonl", requests(count))
    with simulated(folder, behavior) as url, serving(folder, url) as server:
        model = Http(url)
        began = time.monotonic()
        with Sampler(model.counts, every_s=LOOK_S) as watch:
            batch = server.create(server.upload(lines))
            server.wait(batch.id)
        done_at = time.monotonic() - began
    samples = [(moment - began, counts) for moment, counts in watch.samples]
    at_work = [(moment, float(min(counts.in_flight, SLOTS))) for moment, counts in samples]
    return Run(
        at_work=at_work,
        full_at=next((moment for moment, slots in at_work if slots == SLOTS), None),
        sent_at=next(moment for moment, counts in samples if counts.received >= count),
        done_at=done_at,
        ideal_s=latencies_s(behavior, lines) / SLOTS,
    )


def figures(name: str, run: Run) -> list[Figure]:
    """Return the rows of one run. If the slots were never all at work, the whole sending is what counts."""
    begin, ramp_s = (run.at_work[0][0], run.sent_at) if run.full_at is None else (run.full_at, run.full_at)
    most = max(slots for _, slots in run.at_work)
    seen_s = slot_seconds(run.at_work, begin=0, end=run.done_at) / SLOTS
    return [
        Figure(name=f"{name}: ideal for all lines (floor)", value=run.ideal_s, unit="s", ratio=1),
        Figure(name=f"{name}: upload to completed", value=run.done_at, unit="s", ratio=run.done_at / run.ideal_s),
        Figure(name=f"{name}: most slots at work", value=most, unit="slots", at_least=SLOTS),
        Figure(name=f"{name}: ramp-up, until all slots work", value=ramp_s, unit="s"),
        Figure(name=f"{name}: tail, after the last line was sent", value=run.done_at - run.sent_at, unit="s"),
        Figure(
            name=f"{name}: kept busy between them",
            value=100 * run.busy(begin, run.sent_at),
            unit="%",
            at_least=BUSY_MIN,
        ),
        Figure(name=f"{name}: slots seen at work, as a check", value=seen_s, unit="s", ratio=seen_s / run.ideal_s),
    ]


def measured(asked: Given) -> dict[str, Run]:
    """Return a run for each shape of latency."""
    seconds = asked.size(SECONDS)
    with workshop() as folder:
        return {
            behavior.latency_shape.value: run(
                folder / behavior.latency_shape.value,
                behavior,
                count=round(seconds * SLOTS / MEAN_S[behavior.latency_shape.value]),
            )
            for behavior in (FIXED, LOGNORMAL)
        }


def main() -> int:
    """Measure both shapes of latency, and tell."""
    asked = given("kept_busy", about=__doc__)
    runs = measured(asked)
    rows = [figure for name, found in runs.items() for figure in figures(name, found)]
    notes = [
        f"{name}: never all at work, so all of the sending is ramp-up, and counts."
        for name in runs
        if runs[name].full_at is None
    ]
    plot = Plot(
        x="seconds since the upload began",
        y="slots of the model at work",
        curves={name: found.at_work for name, found in runs.items()},
        levels={"slots": SLOTS},
    )
    title = f"kept busy: a model of 1 s median latency and {SLOTS} slots, found without configuration"
    return tell(Report(name="kept_busy", title=title, figures=rows, plot=plot, notes=notes), asked)


if __name__ == "__main__":
    sys.exit(main())
