"""A bar that shows how far batches are; nothing where nobody looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tidyllm.core.batch import Batch


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
