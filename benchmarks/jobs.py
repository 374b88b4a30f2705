"""A job that is larger than a batch of its provider may be: how long sending and fetching take, and how much memory.

120,000 rows go to a provider of 50,000 rows a batch, and come back as one table in order. The provider answers from
within the process and keeps nothing, so that all memory is the job's. The floor is the table that comes of it; its
columns are put together from pieces, so that for a moment there is more than one of it.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import MODEL, peak_rss_bytes, rss_bytes, workshop
from tidyllm import fetch_batch, openai, send_batch, using
from tidyllm.core.wire import Request, Response
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys

ROWS = 120_000
ROWS_A_BATCH = 50_000
SHORT, LONG = 100, 2_000
"""Characters of an answer."""
MB_MAX = 150
"""Beyond the table that is sent, or that comes of it."""
COPIES_MAX = 1.5
"""So many times the table that comes of it, besides."""
MB = 1_000_000


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a job, in a process of its own."""

    seconds: float
    before: int
    """Bytes of memory before it."""
    most: int
    table: int = 0
    """Bytes of the table that came of it."""
    batches: int = 0
    in_order: int = 0
    """Rows that came back answered and in their place."""


class Provider:
    """A `Sender` that has all batches ended as soon as they are made, and answers each row with its number."""

    def __init__(self, rows: int, *, characters: int) -> None:
        self._rows = rows
        self._filler = "x" * characters
        self._made = 0

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:  # noqa: ARG002
        """Return the answer."""
        if request.sink is not None:
            with request.sink.open("wb") as file:
                file.writelines(self._lines(int(request.url.split("/")[-2].removeprefix("file-"))))
            return Response(status=200)
        if request.url.endswith("/files"):
            return _json({"id": "file-in", "object": "file", "bytes": 1, "created_at": 1})
        self._made += request.method == "POST"
        number = self._made if request.method == "POST" else int(request.url.rpartition("_")[2])
        return _json(
            {
                "id": f"batch_{number}",
                "status": "completed",
                "created_at": 1,
                "endpoint": "/v1/chat/completions",
                "output_file_id": f"file-{number}",
            }
        )

    def _lines(self, number: int) -> Iterator[bytes]:
        """Yield the results of a batch, the last row first."""
        first, last = (number - 1) * ROWS_A_BATCH + 1, min(number * ROWS_A_BATCH, self._rows)
        for row in range(last, first - 1, -1):
            message = {"role": "assistant", "content": f"{row} {self._filler}"}
            body = {"id": "c", "model": MODEL, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
            response = {"status_code": 200, "request_id": "r", "body": body}
            yield msgspec.json.encode({"custom_id": f"row-{row}", "response": response, "error": None}) + b"\n"


def _json(value: object) -> Response:
    return Response(status=200, body=msgspec.json.encode(value))


def step(name: str, rows: int, *, characters: int) -> Measured:
    """Send the job, or fetch it, and say what that took."""
    model = openai(MODEL, api="chat_completions")
    table = pl.DataFrame({"text": [f"row {number} {'y' * 100}" for number in range(1, rows + 1)]})
    with using(Transport(sender=Provider(rows, characters=characters), keys=Keys("key"))):
        before, began = rss_bytes(os.getpid()), time.monotonic()
        if name == "send":
            job = send_batch(table, model, prompt="Say {text}", name="large")
            took, found, batches, in_order = time.monotonic() - began, table, len(job.batch_ids), 0
        else:
            found = fetch_batch("large", model)
            took, batches = time.monotonic() - began, 0
            answered = found["reply"].str.split(" ").list.first().cast(pl.Int64)
            in_order = int((answered == pl.arange(1, rows + 1, eager=True)).sum())
    return Measured(
        seconds=took,
        before=before,
        most=peak_rss_bytes(os.getpid()),
        table=int(found.estimated_size()),
        batches=batches,
        in_order=in_order,
    )


def ran(folder: Path, name: str, *, rows: int, characters: int) -> Measured:
    """Return what a step took in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.jobs", "step", name, str(rows), str(characters)]
    environ = {**os.environ, "TIDYLLM_HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        raise SystemExit(f"The step failed:\n{done.stderr}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Measured)


def figures(name: str, found: Measured) -> Iterator[Figure]:
    """Yield the rows of one step; what it takes beyond the table that was there, or comes of it, has a bar."""
    table = 0 if name == "send" else found.table / MB
    beyond = (found.most - found.before) / MB - table
    yield Figure(name=f"{name}: time", value=found.seconds, unit="s")
    if table:
        yield Figure(name=f"{name}: the table that comes of it (floor)", value=table, unit="MB", ratio=1)
    ratio = (beyond + table) / table if table else None
    yield Figure(
        name=f"{name}: memory beyond the table",
        value=beyond,
        unit="MB",
        ratio=ratio,
        at_most=MB_MAX + COPIES_MAX * table,
    )


def main() -> int:
    """Measure, and tell."""
    asked = given("jobs", about=__doc__)
    rows = asked.size(ROWS, least=ROWS_A_BATCH + 1)
    batches = -(-rows // ROWS_A_BATCH)
    rows_of_report: list[Figure] = []
    bars: list[tuple[float, float]] = []
    with workshop() as folder:
        for place, characters in enumerate((SHORT, LONG)):
            home = folder / str(characters)
            sent = ran(home, "send", rows=rows, characters=characters)
            got = ran(home, "fetch", rows=rows, characters=characters)
            if place == 0:
                rows_of_report += figures("send", sent)
                rows_of_report.append(
                    Figure(
                        name="send: batches of one job", value=sent.batches, unit="", at_least=batches, at_most=batches
                    )
                )
            name = f"fetch, answers of {characters:,} characters"
            rows_of_report += figures(name, got)
            rows_of_report.append(
                Figure(name=f"{name}: answered and in order", value=got.in_order, unit="rows", at_least=rows)
            )
            bars.append((float(characters), (got.most - got.before - got.table) / MB))
    plot = Plot(
        x="characters of an answer",
        y="MB",
        curves={"fetch, beyond the table": bars},
        levels={"the same for any length": bars[0][1]},
    )
    title = f"jobs: {rows:,} rows to a provider of {ROWS_A_BATCH:,} rows a batch"
    return tell(Report(name="jobs", title=title, figures=rows_of_report, plot=plot), asked)


if __name__ == "__main__":
    if sys.argv[1:2] == ["step"]:
        print(msgspec.json.encode(step(sys.argv[2], int(sys.argv[3]), characters=int(sys.argv[4]))).decode())
    else:
        sys.exit(main())
