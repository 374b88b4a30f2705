"""How many lines a second a server with one worker answers, upload to completed, when the model costs no time.

The floor is a bare loop of the same HTTP client on the same event loop over the same lines, which appends each answer
to a file and syncs it in groups. Floor and server take turns. The model has a process of its own.
"""

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path
from statistics import median

import uvloop

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import Server, bodies, cpu_s, requests, serving, simulated, workshop, written
from tidyllm.core.wire import Request
from tidyllm.server.settings import Settings
from tidyllm.transport.http import HttpClient

LINES = 50_000
IN_FLIGHT = 64
ROUNDS = 5
LINES_PER_S_MIN = 4_000
SHARE_MIN = 50
TYPE = (("content-type", "application/json"),)

Points = list[tuple[float, float]]


class Answers:
    """A file to which answers are appended as they come; those of a short while are synced together, in a thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._written = asyncio.Event()

    def append(self, answer: bytes) -> None:
        """Write one answer."""
        self._file.write(answer + b"\n")
        self._written.set()

    async def keep(self) -> None:
        """Sync, until cancelled."""
        while True:
            await self._written.wait()
            await asyncio.sleep(Settings().commit_interval_s)
            self._written.clear()
            await asyncio.to_thread(os.fdatasync, self._file.fileno())

    def close(self) -> None:
        """Sync what is left."""
        os.fdatasync(self._file.fileno())
        self._file.close()


async def bare_loop(url: str, lines: Path) -> None:
    """Ask everything, so many at once, and keep the answers."""
    client = HttpClient()
    answers = Answers(lines.with_suffix(".answers"))
    keeping = asyncio.create_task(answers.keep())
    waiting = bodies(lines)

    async def slot() -> None:
        for body in waiting:
            answer = await client.send(Request(method="POST", url=url, headers=TYPE, body=body))
            if not answer.ok:
                raise SystemExit(f"The model answered with {answer.status}.")
            answers.append(answer.body)

    await asyncio.gather(*(slot() for _ in range(IN_FLIGHT)))
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    answers.close()
    await client.close()


def by_bare_loop(url: str, lines: Path) -> tuple[float, float]:
    """Return the seconds and the CPU seconds of the bare loop."""
    began, cpu = time.monotonic(), time.process_time()
    uvloop.run(bare_loop(f"{url}/chat/completions", lines))
    return time.monotonic() - began, time.process_time() - cpu


def by_server(server: Server, lines: Path) -> tuple[float, float, Points]:
    """Return the seconds from the begin of the upload to completed, the worker's CPU seconds, and how it went."""
    worker = server.roles()["worker"]
    points: Points = []
    began, cpu = time.monotonic(), cpu_s(worker)
    batch = server.create(server.upload(lines))
    server.wait(batch.id, seen=lambda look: points.append((time.monotonic() - began, look.request_counts.completed)))
    return time.monotonic() - began, cpu_s(worker) - cpu, points


def main() -> int:
    """Measure both in turn, and tell."""
    asked = given("dispatch", about=__doc__)
    count = asked.size(LINES)
    floors: list[tuple[float, float]] = []
    served: list[tuple[float, float, Points]] = []
    with workshop() as folder, simulated(folder) as url:
        lines = written(folder / "in.jsonl", requests(count))
        with serving(folder, url) as server:
            for _ in range(ROUNDS):
                floors.append(by_bare_loop(url, lines))
                served.append(by_server(server, lines))
    floor_s, server_s = median(floor[0] for floor in floors), median(one[0] for one in served)
    floor_us, worker_us = (median(one[1] for one in found) / count * 1e6 for found in (floors, served))
    share = floor_s / server_s
    figures = [
        Figure(name="bare loop that writes and syncs (floor)", value=count / floor_s, unit="lines/s", ratio=1),
        Figure(name="server", value=count / server_s, unit="lines/s", ratio=share, at_least=LINES_PER_S_MIN),
        Figure(name="server, of the floor", value=100 * share, unit="%", at_least=SHARE_MIN),
        Figure(name="bare loop's CPU per line (floor)", value=floor_us, unit="us", ratio=1),
        Figure(name="worker's CPU per line", value=worker_us, unit="us", ratio=worker_us / floor_us),
    ]
    curves = {f"server, round {number}": one[2] for number, one in enumerate(served, 1)}
    curves["bare loop"] = [(0.0, 0.0), (floor_s, count)]
    title = f"dispatch: {count:,} chat lines, no latency, one worker, median of {ROUNDS} rounds"
    plot = Plot(x="seconds since the upload began", y="lines counted as completed", curves=curves)
    return tell(Report(name="dispatch", title=title, figures=figures, plot=plot), asked)


if __name__ == "__main__":
    sys.exit(main())
