"""What a table of 120,000 rows takes as a batch job: sending it in three batches, and fetching the answers.

The provider is a folder: what is uploaded is copied into it, and what is downloaded is copied from it, the answers
in reverse order. Sending and fetching are processes of their own. The floor is the memory of the process before the
work, with the table that is sent, or with the size of the table that is fetched.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import polars as pl

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import MODEL, Envelope, peak_rss_bytes, rss_bytes, workshop
from tidyllm import Model, fetch_batch, openai, send_batch
from tidyllm.client.calls import using
from tidyllm.core.wire import Multipart, Request, Response
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys

ROWS = 120_000
BATCH_ROWS = 50_000
"""As many as OpenAI takes in one batch."""
SENT_CHARS = 100
ANSWER_CHARS = (100, 2_000)
SEND_MB_MAX = 150
FETCH_MB_MAX = 300
MB = 1_000_000
JOB = "big"


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What sending or fetching took; memory in bytes."""

    seconds: float
    before: int
    """Sending has its table in memory by then."""
    most: int
    table: int = 0
    """The size of what was fetched."""
    batches: int = 0
    """How many were created."""
    in_order: int = 0
    """Rows that have the answer to their own text."""

    @property
    def beyond(self) -> float:
        """Return the megabytes beyond the floor."""
        return (self.most - self.floor) / MB

    @property
    def floor(self) -> int:
        """Return the bytes of what cannot be done without."""
        return self.before + self.table


class Message(msgspec.Struct):
    """What was asked."""

    content: str


class Body(msgspec.Struct):
    """What is read of a request's body."""

    messages: list[Message]


class FolderProvider:
    """As much of OpenAI's Batch API as a job needs, in the files of a folder; holds no file in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:  # noqa: ARG002 - no key
        """Answer one request."""
        path = request.url.partition("/v1/")[2].partition("?")[0]
        kind, _, rest = path.partition("/")
        match request.method, kind, rest:
            case "POST", "files", "":
                return _json(self._uploaded(request))
            case "POST", "batches", "":
                number = len(list(self._folder.glob("*.created")))
                (self._folder / f"{number}.created").touch()
                return _json(_batch(number, status="validating"))
            case "GET", "batches", str():
                return _json(_batch(int(rest.rpartition("-")[2]), status="completed"))
            case "GET", "files", str() if rest.endswith("/content") and request.sink:
                shutil.copyfile(self._folder / rest.partition("/")[0], request.sink)
                return Response(status=200)
        raise SystemExit(f"The folder knows nothing of {request.method} {request.url}.")

    def _uploaded(self, request: Request) -> dict[str, object]:
        parts = request.body.parts if isinstance(request.body, Multipart) else ()
        [source] = [part.content for part in parts if isinstance(part.content, Path)]
        name = f"file-{len(list(self._folder.glob('file-*')))}"
        shutil.copyfile(source, self._folder / name)
        return {"id": name, "object": "file", "bytes": source.stat().st_size, "created_at": 1}


def _json(value: object) -> Response:
    return Response(status=200, body=msgspec.json.encode(value))


def _batch(number: int, *, status: str) -> dict[str, object]:
    return {
        "id": f"batch-{number}",
        "object": "batch",
        "status": status,
        "created_at": 1,
        "expires_at": 2,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "output_file_id": f"output-{number}" if status == "completed" else None,
        "error_file_id": None,
        "errors": None,
        "endpoint": "/v1/chat/completions",
    }


def answer_all(folder: Path, chars: int) -> None:
    """Write the answers to what was uploaded, last line first: each repeats its prompt, and is so long."""
    for source in folder.glob("file-*"):
        with source.open("rb") as lines, (folder / source.name.replace("file", "output")).open("wb") as output:
            output.writelines(_answer(line, chars) for line in reversed(lines.readlines()))


def _answer(line: bytes, chars: int) -> bytes:
    asked = msgspec.json.decode(line, type=Envelope)
    text = msgspec.json.decode(asked.body, type=Body).messages[-1].content.ljust(chars, "x")[:chars]
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}
    response = {"status_code": 200, "request_id": "r", "body": {"id": "c", "choices": [choice], "usage": usage}}
    return msgspec.json.encode({"id": "b", "custom_id": asked.custom_id, "response": response, "error": None}) + b"\n"


def send(model: Model, count: int) -> Work:
    """Send so many rows as one job."""
    texts = [f"row {number} ".ljust(SENT_CHARS, "y") for number in range(count)]
    table = pl.DataFrame({"text": pl.Series(texts)})
    del texts
    before, began = rss_bytes(os.getpid()), time.monotonic()
    job = send_batch(table, model, prompt="{text}", name=JOB)
    seconds = time.monotonic() - began
    return Work(seconds=seconds, before=before, most=peak_rss_bytes(os.getpid()), batches=len(job.batch_ids))


def fetch(model: Model) -> Work:
    """Fetch the job's table, and see whether each row has its own answer."""
    before, began = rss_bytes(os.getpid()), time.monotonic()
    table = fetch_batch(JOB, model)
    seconds, most = time.monotonic() - began, peak_rss_bytes(os.getpid())
    numbers = table["reply"].str.extract(r"^row (\d+) ").cast(pl.Int64)
    answered = table["llm_status"] == "ok"
    in_order = int((answered & (numbers == pl.Series(range(table.height)))).sum())
    return Work(seconds=seconds, before=before, most=most, table=int(table.estimated_size()), in_order=in_order)


def run(verb: str, count: int, *, provider: Path) -> None:
    """Do one of the two, and print what it took."""
    model = openai(MODEL, api="chat_completions")
    with using(Transport(sender=FolderProvider(provider), keys=Keys("none"))):
        work = send(model, count) if verb == "send" else fetch(model)
    print(msgspec.json.encode(work).decode())


def ran(verb: str, count: int, *, folder: Path) -> Work:
    """Return what one of the two took in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.jobs", verb, str(count), str(folder / "provider")]
    environ = {**os.environ, "TIDYLLM_HOME": str(folder / "jobs")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        raise SystemExit(f"To {verb} failed:\n{done.stderr}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Work)


def told(name: str, work: Work, *, mb_max: int) -> list[Figure]:
    """Return the figures of time and memory."""
    floor, most = work.floor / MB, work.most / MB
    what = "the process and the fetched table" if work.table else "the process with the table to be sent"
    return [
        Figure(name=f"{name}: time", value=work.seconds, unit="s"),
        Figure(name=f"{name}: {what} (floor)", value=floor, unit="MB", ratio=1),
        Figure(name=f"{name}: most ever", value=most, unit="MB", ratio=most / floor),
        Figure(name=f"{name}: beyond the floor", value=work.beyond, unit="MB", at_most=mb_max),
    ]


def main() -> int:
    """Measure, and tell."""
    asked = given("jobs", about=__doc__)
    count = asked.size(ROWS)
    figures: list[Figure] = []
    levels: dict[str, list[tuple[float, float]]] = {}
    for chars in ANSWER_CHARS:
        with workshop() as folder:
            (folder / "provider").mkdir()
            sent = ran("send", count, folder=folder)
            answer_all(folder / "provider", chars)
            fetched = ran("fetch", count, folder=folder)
        if not figures:
            batches = -(-count // BATCH_ROWS)
            figures += [
                Figure(name="send: batches", value=sent.batches, unit="", at_least=batches, at_most=batches),
                *told("send", sent, mb_max=SEND_MB_MAX),
            ]
            levels["send"] = [(0, sent.before / MB), (1, sent.most / MB), (2, sent.floor / MB)]
        name = f"fetch, {chars:,} bytes"
        figures += [
            Figure(name=f"{name}: rows answered, and in order", value=fetched.in_order, unit="rows", at_least=count),
            *told(name, fetched, mb_max=FETCH_MB_MAX),
        ]
        levels[name] = [(0, fetched.before / MB), (1, fetched.most / MB), (2, fetched.floor / MB)]
    plot = Plot(x="before, most ever, floor", y="MB", curves=levels)
    return tell(Report(name="jobs", title=f"jobs: a batch job of {count:,} rows", figures=figures, plot=plot), asked)


if __name__ == "__main__":
    if sys.argv[1:2] in (["send"], ["fetch"]):
        run(sys.argv[1], int(sys.argv[2]), provider=Path(sys.argv[3]))
    else:
        sys.exit(main())
