"""How long a process takes to start and import tidyllm, next to the bare interpreter and to the bars set for it."""

import subprocess
import sys
import time
from statistics import median

ROUNDS = 21
CASES = (
    ("bare interpreter", "pass", None),
    ("import tidyllm", "import tidyllm", 80),
    ("from tidyllm import send_batch, openai", "from tidyllm import send_batch, openai", 150),
)
"""What is run, and the bar in milliseconds for the whole process."""


def whole_process_ms(code: str) -> float:
    """Return the wall time of one interpreter that runs `code`, in milliseconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - start) * 1000


def main() -> int:
    """Print the medians and how they compare; return 1 when a bar is missed."""
    times: dict[str, list[float]] = {name: [] for name, _, _ in CASES}
    # The cases take turns, so that a noisy moment of the machine falls on all of them.
    for _ in range(ROUNDS):
        for name, code, _ in CASES:
            times[name].append(whole_process_ms(code))
    bare = median(times[CASES[0][0]])
    missed = False
    for name, _, bar in CASES:
        middle = median(times[name])
        verdict = ""
        if bar is not None:
            verdict = f"  bar {bar} ms: {'held' if middle <= bar else 'MISSED'}"
            missed = missed or middle > bar
        print(f"{name:42}{middle:8.1f} ms (best {min(times[name]):.1f}) {middle / bare:6.2f} x bare{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
