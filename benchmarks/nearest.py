"""How long `nearest` takes among 100,000 vectors of 1,024 numbers, for a handful of queries and for many.

The floor is what cannot be avoided: numpy's product of the same queries with the same vectors, and nothing else.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import peak_rss_bytes
from tidyllm import nearest, to_numpy

ROWS = 100_000
NUMBERS = 1_024
HANDFUL = 5
MANY = 500
ROUNDS = 9
ROUNDS_MANY = 3
SECONDS_MAX = 0.5
"""For a handful: well under a second."""
MB_MAX = 150
MB = 1_000_000


def took(work: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> int:
    """Measure the product and the verb in turn, and tell."""
    asked = given("nearest", about=__doc__)
    rows = asked.size(ROWS)
    drawn = np.random.default_rng(1).standard_normal((rows, NUMBERS), dtype=np.float32)
    table = pl.DataFrame({"embeddings": pl.Series(drawn)})
    del drawn
    corpus = to_numpy(table)
    figures, curves = [], {}
    for count, rounds in ((HANDFUL, ROUNDS), (asked.size(MANY), ROUNDS_MANY)):
        queries = np.random.default_rng(2).standard_normal((count, NUMBERS), dtype=np.float32)
        nearest(queries[:1], table)
        Path("/proc/self/clear_refs").write_text("5")  # The peak is counted from here.
        before = peak_rss_bytes(os.getpid())
        verb = [took(lambda: nearest(queries, table)) for _ in range(rounds)]  # noqa: B023 - it is done with at once
        memory_mb = (peak_rss_bytes(os.getpid()) - before) / MB
        product = [took(lambda: queries @ corpus.T) for _ in range(rounds)]  # noqa: B023 - likewise
        floor_s, verb_s = median(product), median(verb)
        bar = SECONDS_MAX if count == HANDFUL else None
        figures += [
            Figure(name=f"{count} queries: bare product (floor)", value=floor_s, unit="s", ratio=1),
            Figure(name=f"{count} queries: nearest", value=verb_s, unit="s", ratio=verb_s / floor_s, at_most=bar),
            Figure(name=f"{count} queries: memory beside the vectors", value=memory_mb, unit="MB", at_most=MB_MAX),
        ]
        curves[f"nearest, {count} queries"] = [(float(at), s / count) for at, s in enumerate(verb, 1)]
        curves[f"bare product, {count} queries"] = [(float(at), s / count) for at, s in enumerate(product, 1)]
    plot = Plot(x="round", y="seconds a query", curves=curves, levels={})
    title = f"nearest: among {rows:,} vectors of {NUMBERS:,} numbers, numpy {np.__version__}"
    return tell(Report(name="nearest", title=title, figures=figures, plot=plot), asked)


if __name__ == "__main__":
    sys.exit(main())
