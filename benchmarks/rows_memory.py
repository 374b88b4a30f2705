"""How much memory a run over a million short rows takes, above the table itself; unnamed, and with a name.

The floor is the memory of a process that holds the table and the answers' columns, and nothing else.
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import MODEL, peak_rss_bytes, rss_bytes, simulated, workshop
from tidyllm import chat, local

ROWS = 1_000_000
MB_MAX = 1_000
MB = 1_000_000
IN_FLIGHT = 64


class Memory(msgspec.Struct, frozen=True):
    """Of one run, in bytes."""

    before: int
    """With the table in memory."""
    most: int
    after: int
    """With the answers beside it."""


def run(url: str, count: int, *, name: str | None) -> None:
    """Answer so many rows, and print what memory that took."""
    table = pl.DataFrame({"text": pl.Series([f"row {number}" for number in range(count)])})
    before = rss_bytes(os.getpid())
    rated = chat(table, local(MODEL, base_url=url), prompt="Say: {text}", name=name, max_concurrency=IN_FLIGHT)
    if rated["llm_status"].unique().to_list() != ["ok"]:
        raise SystemExit(f"Not all rows were answered: {rated['llm_status'].value_counts()}")
    memory = Memory(before, peak_rss_bytes(os.getpid()), rss_bytes(os.getpid()))
    print(msgspec.json.encode(memory).decode())


def ran(folder: Path, url: str, count: int, *, name: str) -> Memory:
    """Return what a run in a process of its own took."""
    command = [sys.executable, "-m", "benchmarks.rows_memory", "run", url, str(count), name]
    environ = {**os.environ, "TIDYLLM_HOME": str(folder / "jobs")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        raise SystemExit(f"The run failed:\n{done.stderr}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Memory)


def main() -> int:
    """Measure, and tell."""
    asked = given("rows_memory", about=__doc__)
    count = asked.size(ROWS)
    figures: list[Figure] = []
    levels: dict[str, list[tuple[float, float]]] = {}
    with workshop() as folder, simulated(folder) as url:
        for situation, name in (("unnamed", ""), ("named", "rows"), ("named, read back", "rows")):
            memory = ran(folder, url, count, name=name)
            floor = memory.after / MB
            levels[situation] = [(0.0, memory.before / MB), (1.0, memory.most / MB), (2.0, floor)]
            figures += [
                Figure(name=f"{situation}: the table alone", value=memory.before / MB, unit="MB"),
                Figure(name=f"{situation}: with the answers (floor)", value=floor, unit="MB", ratio=1),
                Figure(
                    name=f"{situation}: most ever",
                    value=memory.most / MB,
                    unit="MB",
                    ratio=memory.most / MB / floor,
                    at_most=MB_MAX,
                ),
            ]
    plot = Plot(x="before, most ever, after", y="MB", curves=levels, levels={"bar": MB_MAX})
    title = f"rows_memory: chat over a table of {count:,} short rows"
    return tell(Report(name="rows_memory", title=title, figures=figures, plot=plot), asked)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(sys.argv[2], int(sys.argv[3]), name=sys.argv[4] or None)
    else:
        sys.exit(main())
