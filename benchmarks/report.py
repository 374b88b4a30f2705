"""How the benchmarks of the server tell what they found: a table with bars and floors, a JSON file, and one plot."""

import argparse
import importlib
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

OUT = Path(__file__).parent / "out"
QUICK = 10
"""What a quick run's sizes are divided by."""


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the table."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    """To the floor that was measured in the same run."""
    at_least: float | None = None
    at_most: float | None = None
    """The bar, if there is one, in the figure's unit."""

    @property
    def held(self) -> bool:
        """Whether the bar is held, or there is none."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn: curves over one axis, and levels to compare them with."""

    x: str
    y: str
    curves: dict[str, list[tuple[float, float]]]
    levels: dict[str, float] = {}
    """Horizontal lines."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a benchmark found."""

    name: str
    title: str
    figures: Sequence[Figure]
    plot: Plot
    notes: Sequence[str] = ()


class Given(msgspec.Struct, frozen=True):
    """What a benchmark was asked for."""

    json: Path
    quick: bool
    load: float
    """Of the machine when the benchmark began: processes that wanted to run, on average over a minute."""

    def size(self, full: int, *, least: int = 1) -> int:
        """Return how large something is in this run."""
        return max(full // QUICK, least) if self.quick else full


def given(name: str, *, about: str | None) -> Given:
    """Read the command line of a benchmark."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size: to see that it runs")
    parser.add_argument(
        "--json", type=Path, default=OUT / f"{name}.json", help="where the figures go; the plot goes beside them"
    )
    found = parser.parse_args()
    return Given(found.json, found.quick, os.getloadavg()[0])


def tell(report: Report, asked: Given) -> int:
    """Print, write and draw a report; return 1 when a bar is missed."""
    print(f"{report.title}{' (quick: a tenth of the size)' if asked.quick else ''}")
    width = max(len(figure.name) for figure in report.figures)
    print(f"  {'':{width}} {'figure':>10} {'':8} {'x floor':>8}  bar")
    for figure in report.figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        print(f"  {figure.name:{width}} {figure.value:10,.2f} {figure.unit:8} {ratio:>8}  {_verdict(figure)}".rstrip())
    for note in (*report.notes, f"{_machine()}; load {asked.load:.1f} when it began"):
        print(f"  {note}")
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(_told(report, asked)), indent=1) + b"\n")
    print(f"  {_draw(report, asked.json.with_suffix('.png'))}", flush=True)
    return int(not all(figure.held for figure in report.figures))


def _verdict(figure: Figure) -> str:
    bars = [("at least", figure.at_least), ("at most", figure.at_most)]
    told = ", ".join(f"{words} {bar:,g}" for words, bar in bars if bar is not None)
    return f"{told}: {'held' if figure.held else 'MISSED'}" if told else ""


def _told(report: Report, asked: Given) -> dict[str, object]:
    return {
        "name": report.name,
        "title": report.title,
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(),
        "machine": _machine(),
        "load_at_begin": asked.load,
        "python": platform.python_version(),
        "quick": asked.quick,
        "figures": [msgspec.to_builtins(figure) | {"held": figure.held} for figure in report.figures],
        "notes": report.notes,
        "plot": report.plot,
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=OUT.parent)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def _machine() -> str:
    known = Path("/proc/cpuinfo").read_text()
    model = known.partition("model name")[2].partition("\n")[0].lstrip("\t: ") or platform.machine()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} cores of {model}, {memory_gb:.0f} GB, {platform.system()} {platform.release()}"


def _draw(report: Report, path: Path) -> str:
    """Draw the plot; return one line that says where it is, or why there is none."""
    try:
        # An extra, and without types where it is not installed.
        matplotlib = importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        return 'No plot: that needs pip install "tidyllm[bench]".'
    matplotlib.use("agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for name, points in report.plot.curves.items():
        axes.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 50 else None)  # noqa: PLR2004
    for number, (name, level) in enumerate(report.plot.levels.items()):
        axes.axhline(level, label=name, color="black", linestyle=("--", ":", "-.")[number % 3], linewidth=1)
    axes.set(title=report.title, xlabel=report.plot.x, ylabel=report.plot.y, ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return f"The plot is at {path}."
