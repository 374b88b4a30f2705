"""What the benchmarks of the server share: the processes they start, the HTTP they speak, and what they see of both.

`python -m benchmarks.rig '{"latency_ms": 5}'` runs a simulated model of that behavior, as the benchmarks start it.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Generic, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from tidyllm.testing import Behavior, Counts, run_simulated

STOP_S_MAX = 60.0
POLL_S = 0.05
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
MODEL = "simulated"
IDLE_S_MAX = 2.0
"""A connection that was not used for longer may be closed by the other end at any moment."""
PIECE_BYTES = 256 * 1024
LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})

T = TypeVar("T")


class Http:
    """One kept connection; belongs to one thread."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port)
        self._used_at = 0.0

    def ask(
        self, method: str, path: str, *, body: bytes | Iterable[bytes] = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Return the body of a good answer; end the benchmark at any other."""
        if time.monotonic() - self._used_at > IDLE_S_MAX:
            self._connection.close()  # The next request opens another.
        self._connection.request(method, path, body=body, headers=dict(headers or {}))
        answer = self._connection.getresponse()
        data = answer.read()
        self._used_at = time.monotonic()
        if answer.status != 200:  # noqa: PLR2004 - the one good status
            raise SystemExit(f"{method} {path} was answered with {answer.status}: {data[:1000]!r}")
        return data

    def pieces(self, path: str) -> Iterator[bytes]:
        """Yield the body of a long answer as it comes."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        while piece := answer.read(PIECE_BYTES):
            yield piece

    def counts(self) -> Counts:
        """Return what a simulated model has counted."""
        return msgspec.json.decode(self.ask("GET", "/simulated/counts"), type=Counts)


class RequestCounts(msgspec.Struct, frozen=True):
    """How far a batch is."""

    total: int
    completed: int
    failed: int


class Batch(msgspec.Struct, frozen=True):
    """What is read of a batch."""

    id: str
    status: str
    request_counts: RequestCounts
    output_file_id: str | None = None


class _File(msgspec.Struct, frozen=True):
    id: str


class Server:
    """A running `tidyllm serve`, seen from outside."""

    def __init__(self, url: str, *, pid: int, data: Path) -> None:
        self.url = url
        self.pid = pid
        self.data = data
        self.http = Http(url)

    def upload(self, path: Path) -> str:
        """Send a file in pieces, as the form that the SDKs send; return its id."""
        mark = "benchmark"
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
        ).encode()
        tail = f"\r\n--{mark}--\r\n".encode()

        def pieces() -> Iterator[bytes]:
            yield head
            with path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece
            yield tail

        headers = {
            "content-type": f"multipart/form-data; boundary={mark}",
            "content-length": str(len(head) + path.stat().st_size + len(tail)),
        }
        return msgspec.json.decode(self.http.ask("POST", "/v1/files", body=pieces(), headers=headers), type=_File).id

    def create(self, file_id: str, *, endpoint: str = CHAT) -> Batch:
        """Create a batch of an uploaded file."""
        wanted = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": "24h"}
        headers = {"content-type": "application/json"}
        answer = self.http.ask("POST", "/v1/batches", body=msgspec.json.encode(wanted), headers=headers)
        return msgspec.json.decode(answer, type=Batch)

    def batch(self, batch_id: str) -> Batch:
        """Return how a batch is."""
        return msgspec.json.decode(self.http.ask("GET", f"/v1/batches/{batch_id}"), type=Batch)

    def cancel(self, batch_id: str) -> None:
        """Have a batch end early."""
        self.http.ask("POST", f"/v1/batches/{batch_id}/cancel")

    def wait(
        self,
        batch_id: str,
        *,
        until: str = "completed",
        poll_s: float = POLL_S,
        seen: Callable[[Batch], None] | None = None,
    ) -> Batch:
        """Poll until a batch has that status, and show each look to `seen`; end the benchmark if it ends otherwise."""
        while True:
            batch = self.batch(batch_id)
            if seen is not None:
                seen(batch)
            if batch.status == until:
                break
            if batch.status in ENDED:
                raise SystemExit(f"The batch is {batch.status}, not {until}.")
            time.sleep(poll_s)
        if until == "completed" and batch.request_counts.completed < batch.request_counts.total:
            raise SystemExit(f"Not all lines were answered well: {batch.request_counts}")
        return batch

    def download(self, file_id: str) -> int:
        """Read a file's bytes in pieces, and return how many there are."""
        return sum(map(len, self.http.pieces(f"/v1/files/{file_id}/content")))

    def roles(self) -> dict[str, int]:
        """Return the process ids of api, worker and clerk; of several workers the last one's."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return {_role(int(pid)): int(pid) for pid in children}


def _role(pid: int) -> str:
    """Tell a server's process by what it holds open: the worker its lock, the api the socket that listens."""
    opened = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    if any(re.search(r"/workers/\w+\.lock$", name) for name in opened):
        return "worker"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {f"socket:[{row[9]}]" for row in rows if row[3] == LISTENING}
    return "api" if opened & listening else "clerk"


@contextmanager
def started(*arguments: str, log: Path, environ: Mapping[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """Run Python with these arguments; yield the URL of its first line and its process id, and stop it at the end."""
    command = [sys.executable, *arguments]
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **(environ or {})}
        ) as process,
    ):
        try:
            found = process.stdout and re.search(r"http://\S+", process.stdout.readline())
            if not found:
                raise SystemExit(f"{command!r} did not start:\n{log.read_text()}")
            yield found[0], process.pid
        finally:
            process.terminate()
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def workshop() -> Iterator[Path]:
    """Yield a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="tidyllm-bench-") as folder:
        yield Path(folder)


@contextmanager
def simulated(folder: Path, behavior: Behavior | None = None) -> Iterator[str]:
    """Run a simulated model in a process of its own; yield its base URL."""
    told = msgspec.json.encode(behavior or Behavior()).decode()
    with started("-m", "benchmarks.rig", told, log=folder / "model.log") as (url, _):
        yield url


@contextmanager
def serving(folder: Path, upstream: str, **settings: object) -> Iterator[Server]:
    """Run a server with one worker in front of a model; whatever is not given is as a user has it."""
    data = folder / "data"
    environ = {f"TIDYLLM_{name.upper()}": str(value) for name, value in settings.items()}
    arguments = ("-m", "tidyllm", "serve", "--port", "0", "--data", str(data), "--upstream", upstream)
    with started(*arguments, log=folder / "server.log", environ=environ) as (url, pid):
        yield Server(url, pid=pid, data=data)


class Sampler(Generic[T]):
    """Asks again and again in a thread, as long as its `with` block runs."""

    def __init__(self, ask: Callable[[], T], *, every_s: float = POLL_S) -> None:
        self._ask = ask
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failure: BaseException | None = None
        self.samples: list[tuple[float, T]] = []
        """The moments, by the monotonic clock, and what was seen then."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._every_s):
                self.samples.append((time.monotonic(), self._ask()))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is seen
            self._failure = error


def requests(count: int, *, name: str = "row", line_bytes: int = 0) -> Iterator[bytes]:
    """Yield the lines of a chat batch, each unlike the others and, where that is said, so long with its line end."""
    for number in range(count):
        text = f"{name} {number:06}: explain in one sentence what it means."
        line = _line(name, number, url=CHAT, body=_chat(text))
        if line_bytes > len(line):
            line = _line(name, number, url=CHAT, body=_chat(text + "x" * (line_bytes - len(line))))
        yield line


def embeddings(count: int, *, text_bytes: int, dimensions: int) -> Iterator[bytes]:
    """Yield the lines of an embeddings batch."""
    for number in range(count):
        text = f"text {number:06} ".ljust(text_bytes, "x")
        yield _line("row", number, url=EMBEDDINGS, body={"model": MODEL, "input": text, "dimensions": dimensions})


def _chat(text: str) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]}


def _line(name: str, number: int, *, url: str, body: dict[str, object]) -> bytes:
    line = {"custom_id": f"{name}-{number:06}", "method": "POST", "url": url, "body": body}
    return msgspec.json.encode(line) + b"\n"


def written(path: Path, lines: Iterable[bytes]) -> Path:
    """Write an input file, and return where it is."""
    with path.open("wb") as file:
        file.writelines(lines)
    return path


def bodies(path: Path) -> Iterator[bytes]:
    """Yield the body of each line of an input file, as it stands there."""
    with path.open("rb") as file:
        for line in file:
            yield bytes(_envelope.decode(line).body)


class Envelope(msgspec.Struct):
    """One line of an input file, its body not looked into."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


_envelope = msgspec.json.Decoder(Envelope)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far, those of its ended threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    """Return the memory of a process that is in RAM now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_rss_bytes(pid: int) -> int:
    """Return the most memory of a process that ever was in RAM."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise SystemExit(f"The process {pid} is gone.")
    return int(found[1]) * 1024


if __name__ == "__main__":
    run_simulated(
        msgspec.json.decode(sys.argv[1], type=Behavior),
        host="127.0.0.1",
        port=0,
        tell_url=lambda url: print(url, flush=True),
    )
