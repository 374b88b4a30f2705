"""How long a 200 MB input file takes from the creation of its batch until it is in progress.

The floor is one pass over the same file in one thread, which decodes each line's envelope and does nothing else.
"""

import sys
import time
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import Envelope, Http, Server, requests, serving, simulated, workshop, written

LINES = 50_000
LINE_BYTES = 4_000
ROUNDS = 5
SECONDS_MAX = 2
POLL_S = 0.005


def by_one_pass(lines: Path) -> float:
    """Return the seconds of the floor."""
    decoder = msgspec.json.Decoder(Envelope)
    began = time.monotonic()
    with lines.open("rb") as file:
        for line in file:
            decoder.decode(line)
    return time.monotonic() - began


def by_server(server: Server, file_id: str) -> float:
    """Return the seconds of the server, and have the batch end."""
    began = time.monotonic()
    batch = server.create(file_id)
    server.wait(batch.id, until="in_progress", poll_s=POLL_S)
    seconds = time.monotonic() - began
    server.cancel(batch.id)
    server.wait(batch.id, until="cancelled")
    return seconds


def main() -> int:
    """Measure both in turn, and tell."""
    asked = given("validation", about=__doc__)
    count = asked.size(LINES)
    floors, served = [], []
    with workshop() as folder, simulated(folder) as url:
        lines = written(folder / "in.jsonl", requests(count, line_bytes=LINE_BYTES))
        Http(url).ask("POST", "/simulated/hold")  # No line is answered: what runs would take the processor from us.
        with serving(folder, url, cancel_grace_s=0) as server:
            file_id = server.upload(lines)
            for _ in range(ROUNDS):
                floors.append(by_one_pass(lines))
                served.append(by_server(server, file_id))
    floor_s, server_s = median(floors), median(served)
    figures = [
        Figure(name="one pass in one thread (floor)", value=floor_s, unit="s", ratio=1),
        Figure(
            name="server, created to in_progress",
            value=server_s,
            unit="s",
            ratio=server_s / floor_s,
            at_most=SECONDS_MAX,
        ),
        Figure(name="its slowest round", value=max(served), unit="s", ratio=max(served) / floor_s),
    ]
    plot = Plot(
        x="round",
        y="seconds",
        curves={
            "server, created to in_progress": list(enumerate(served, 1)),
            "one pass in one thread": list(enumerate(floors, 1)),
        },
        levels={"bar": SECONDS_MAX},
    )
    title = f"validation: {count:,} lines, {count * LINE_BYTES / 1e6:g} MB, median of {ROUNDS} rounds"
    return tell(Report(name="validation", title=title, figures=figures, plot=plot), asked)


if __name__ == "__main__":
    sys.exit(main())
