"""How long a process takes to start and import tidyllm, next to the bare interpreter and to the bars set for it.

`--json PATH` writes the figures down as well.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROUNDS = 15
BARE = "pass"
CASES: dict[str, int | None] = {
    BARE: None,
    "import tidyllm": 80,
    "from tidyllm import chat, openai": 150,
    "from tidyllm import send_batch, openai": 150,
}
"""What is run in a fresh interpreter, and the bar in milliseconds for the median of the whole process."""


def whole_process_ms(code: str) -> float:
    """Return the wall time of one interpreter that runs `code`, in milliseconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - start) * 1000


def measure() -> dict[str, list[float]]:
    """Return the times of each case, in milliseconds; they take turns, so that a noisy moment falls on all of them."""
    times: dict[str, list[float]] = {code: [] for code in CASES}
    for _ in range(ROUNDS):
        for code, found in times.items():
            found.append(whole_process_ms(code))
    return times


def show(times: dict[str, list[float]]) -> None:
    """Print a table of the figures and how they compare with the bare interpreter and with the bars."""
    bare = median(times[BARE])
    print(f"{'python -c':40} {'min ms':>8} {'median ms':>10} {'x bare':>7} {'bar ms':>7}")
    for code, found in times.items():
        middle, bar = median(found), CASES[code]
        verdict = "" if bar is None else f"{bar:8} {'held' if middle <= bar else 'MISSED'}"
        print(f"{code:40} {min(found):8.1f} {middle:10.1f} {middle / bare:7.2f}{verdict}")


def figures(times: dict[str, list[float]]) -> dict[str, object]:
    """Return what is written down."""
    cases = [
        {"code": code, "minimum_ms": min(found), "median_ms": median(found), "bar_ms": CASES[code]}
        for code, found in times.items()
    ]
    return {"python": platform.python_version(), "rounds": ROUNDS, "cases": cases}


def main() -> int:
    """Measure and print; return 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    times = measure()
    show(times)
    if given.json is not None:
        given.json.write_text(json.dumps(figures(times), indent=1) + "\n")
    return int(any(bar is not None and median(times[code]) > bar for code, bar in CASES.items()))


if __name__ == "__main__":
    sys.exit(main())
