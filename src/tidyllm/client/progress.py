"""Bars that show how far batches and runs are; nothing where nobody looks."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tidyllm.client.run import Told
from tidyllm.core.batch import Batch
from tidyllm.core.reply import Outcome


@contextmanager
def batch_bar(name: str, *, wanted: bool) -> Iterator[Callable[[tuple[Batch, ...]], None] | None]:
    """Yield a function that shows where the batches stand; none unless standard error is a terminal."""
    if not wanted:
        yield None
        return
    # Imported here, because it costs 150 ms that only a wait needs.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=None)

        def show(batches: tuple[Batch, ...]) -> None:
            words = sorted({batch.status_word or batch.status.value for batch in batches})
            done = sum(batch.counts.completed + batch.counts.failed for batch in batches)
            total = sum(batch.counts.total for batch in batches)
            progress.update(task, description=f"{name}: {', '.join(words)}", completed=done, total=total or None)

        yield show


@contextmanager
def count_bar(what: str) -> Iterator[Callable[[int], None] | None]:
    """Yield a function that shows how many there are so far; none unless standard error is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    # Imported here, because it costs 150 ms.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress, SpinnerColumn, TextColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} {task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.update(task, completed=count)


@contextmanager
def run_bar(name: str) -> Iterator[Callable[[Told], None] | None]:
    """Yield a function that shows how far a run is, how fast, and what it has cost; none unless a terminal sees it."""
    if not sys.stderr.isatty():
        yield None
        return
    # Imported here, because it costs 150 ms.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=None, told="")

        def show(told: Told) -> None:
            words = [f"{told.done / max(time.monotonic() - began, 1e-3):,.0f}/s", f"{told.tokens:,} tokens"]
            if told.dollars is not None:
                words.append(f"${told.dollars:,.2f}")
            if failed := told.done - told.outcomes[Outcome.OK]:
                words.append(f"{failed:,} not ok")
            progress.update(task, total=told.total, completed=told.done, told=" · ".join(words))

        yield show
