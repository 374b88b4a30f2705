"""How long two workers take for a batch of slow requests, upload to completed, next to the ideal and to a bare loop.

A first batch has them find how much the model takes: what that costs, the ramp-up, is told and has no bar. A second
batch then begins with what was found, and so does a third, of workers that were started anew.
"""

import asyncio
import sys
import time
from pathlib import Path

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import Server, bodies, requests, serving, simulated, workshop, written
from tidyllm.core.wire import Request
from tidyllm.testing import Behavior
from tidyllm.transport.http import HttpClient

LATENCY_S = 1.0
WORKERS = 2
SLOTS = 64
LINES = 500
LINES_FIRST = 1_000
RATIO_MAX = 1.25
"""Times the ideal: lines / slots x latency."""
POLL_S = 0.02
TYPE = (("content-type", "application/json"),)

Points = list[tuple[float, float]]


def bare_loop_s(url: str, lines: Path) -> float:
    """Return how long the same requests take without a server in between."""

    async def run() -> float:
        client = HttpClient()
        waiting = bodies(lines)

        async def slot() -> None:
            for body in waiting:
                answer = await client.send(Request(method="POST", url=url, headers=TYPE, body=body))
                if not answer.ok:
                    raise SystemExit(f"The model answered with {answer.status}.")

        began = time.monotonic()
        await asyncio.gather(*(slot() for _ in range(WORKERS * SLOTS)))
        took = time.monotonic() - began
        await client.close()
        return took

    return asyncio.run(run())


def batch_s(server: Server, lines: Path) -> tuple[float, Points]:
    """Return how long a batch takes, from the begin of its upload until it is seen to be completed, and how it went."""
    points: Points = []
    began = time.monotonic()
    batch = server.create(server.upload(lines))
    server.wait(
        batch.id,
        poll_s=POLL_S,
        seen=lambda look: points.append((time.monotonic() - began, look.request_counts.completed)),
    )
    return time.monotonic() - began, points


def main() -> int:
    """Measure the bare loop and three batches, and tell."""
    asked = given("two_workers", about=__doc__)
    count, first = asked.size(LINES, least=WORKERS * SLOTS), LINES_FIRST
    model = Behavior(latency_ms=LATENCY_S * 1000)
    with workshop() as folder, simulated(folder, model) as url:
        few, many = (written(folder / f"{size}.jsonl", requests(size)) for size in (count, first))
        bare = bare_loop_s(f"{url}/chat/completions", few)
        with serving(folder, url, workers=WORKERS, concurrency=SLOTS) as server:
            took_first = batch_s(server, many)
            took = batch_s(server, few)
        with serving(folder, url, workers=WORKERS, concurrency=SLOTS) as server:
            took_anew = batch_s(server, few)
    ideal, ideal_first = (size / (WORKERS * SLOTS) * LATENCY_S for size in (count, first))
    figures = [
        Figure(name="ideal (floor)", value=ideal, unit="s", ratio=1),
        Figure(name="bare loop of the HTTP client", value=bare, unit="s", ratio=bare / ideal),
        Figure(name="server, once it knows the model", value=took[0], unit="s", ratio=took[0] / ideal),
        Figure(name="server, to the ideal", value=took[0] / ideal, unit="times", at_most=RATIO_MAX),
        Figure(name="server, started anew", value=took_anew[0], unit="s", ratio=took_anew[0] / ideal),
        Figure(name="server started anew, to the ideal", value=took_anew[0] / ideal, unit="times", at_most=RATIO_MAX),
        Figure(name=f"first batch, of {first:,}", value=took_first[0], unit="s", ratio=took_first[0] / ideal_first),
        Figure(name="ramp-up: how much longer than its ideal", value=took_first[0] - ideal_first, unit="s"),
    ]
    curves = {f"first batch, of {first:,}": took_first[1], "next batch": took[1], "started anew": took_anew[1]}
    title = f"two workers: {count} requests of {LATENCY_S:g} s, {WORKERS} workers of {SLOTS} slots"
    plot = Plot(x="seconds since the upload began", y="lines counted as completed", curves=curves)
    return tell(Report(name="two_workers", title=title, figures=figures, plot=plot), asked)


if __name__ == "__main__":
    sys.exit(main())
