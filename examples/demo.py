"""The whole journey on one machine: 575 real texts go into a batch server, and a table of answers comes out.

It starts a simulated model and `tidyllm serve` on free ports in a temporary folder, sends docstrings of Python's
standard library as one batch, and stops everything again. No key and no network are needed.
"""

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from shutil import get_terminal_size
from threading import Thread

import polars as pl

import tidyllm as tl

ROWS = 575
"""The size of the largest batch on the page of batches that this project began with."""
LATENCY_MS = 100
CONCURRENCY = 16
"""Few at once, so that there is some progress to watch."""
POLL_S = 0.25
START_S_MAX = 30.0
STOP_S_MAX = 20.0
TEXT_CHARACTERS_MIN = 40
TABLE_COLUMNS_MAX = 140


def standard_library() -> Iterator[tuple[str, Path]]:
    """Yield the public modules of Python's standard library that are written in Python, in alphabetical order."""
    home = Path(sysconfig.get_path("stdlib"))
    for name in sorted(sys.stdlib_module_names):
        for path in (home / f"{name}.py", home / name / "__init__.py"):
            if not name.startswith("_") and path.is_file():
                yield name, path


def docstrings(name: str, path: Path) -> Iterator[dict[str, str]]:
    """Yield the docstrings of a module's public functions and classes; the module is read, not run."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node) or ""
            if len(text) >= TEXT_CHARACTERS_MIN:
                yield {"module": name, "name": node.name, "text": text}


def real_texts() -> pl.DataFrame:
    """Return a table of 575 docstrings, evenly spread over the standard library."""
    found = [row for name, path in standard_library() for row in docstrings(name, path)]
    return pl.DataFrame([found[number * len(found) // ROWS] for number in range(ROWS)])


@contextmanager
def running(*arguments: str, log: Path) -> Iterator[str]:
    """Run a command of tidyllm; yield the URL it says it listens on, and stop it at the end."""
    with started([sys.executable, "-m", "tidyllm", *arguments], log=log) as url:
        yield url


@contextmanager
def started(command: list[str], *, log: Path, start_s_max: float = START_S_MAX) -> Iterator[str]:
    """Run a command; yield the URL it says it listens on, and stop it at the end."""
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        lines: SimpleQueue[str] = SimpleQueue()
        reader = Thread(target=_read_all, args=(process, lines), daemon=True)
        reader.start()
        try:
            yield _first_url(process, lines, log=log, start_s_max=start_s_max)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join()


def _read_all(process: "subprocess.Popen[str]", lines: "SimpleQueue[str]") -> None:
    # Somebody must go on reading, or the process would stand still once the pipe is full.
    for line in process.stdout or ():
        lines.put(line)


def _first_url(process: "subprocess.Popen[str]", lines: "SimpleQueue[str]", *, log: Path, start_s_max: float) -> str:
    deadline = time.monotonic() + start_s_max
    while time.monotonic() < deadline:
        try:
            found = re.search(r"https?://\S+", lines.get(timeout=0.1))
        except Empty:
            if process.poll() is not None:
                break
        else:
            if found:
                return found[0].rstrip(".,")
    raise SystemExit(f"{process.args!r} did not start:\n{log.read_text()}")


def with_v1(url: str) -> str:
    """Return a base URL that ends in /v1."""
    return url.rstrip("/") if url.rstrip("/").endswith("/v1") else f"{url.rstrip('/')}/v1"


def counted_by(model_url: str) -> dict[str, int]:
    """Return what the simulated model says that it received and answered."""
    with urllib.request.urlopen(model_url.removesuffix("/v1") + "/simulated/counts") as answer:  # noqa: S310 - loopback
        counts: dict[str, int] = json.load(answer)
    return counts


def main() -> int:
    """Run the demo; return 0 when every row came back and nothing was asked twice."""
    start = time.monotonic()
    columns = get_terminal_size((TABLE_COLUMNS_MAX, 0)).columns
    pl.Config.set_tbl_hide_dataframe_shape(True).set_fmt_str_lengths(60)
    pl.Config.set_tbl_width_chars(min(columns, TABLE_COLUMNS_MAX))
    texts = real_texts()
    print(f"A table of {texts.height} docstrings of Python's standard library:\n{texts.head(3)}\n")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidyllm-demo-")))
        os.environ["TIDYLLM_HOME"] = str(folder / "jobs")
        latency = ("--latency-ms", str(LATENCY_MS))
        model_url = with_v1(stack.enter_context(running("simulate", "--port", "0", *latency, log=folder / "model.log")))
        print(f"A simulated model answers at {model_url}, each request after {LATENCY_MS} ms.")
        options = ("--upstream", model_url, "--concurrency", str(CONCURRENCY), "--data", str(folder / "data"))
        server_url = with_v1(stack.enter_context(running("serve", "--port", "0", *options, log=folder / "server.log")))
        print(f"The batch server listens at {server_url}.\n")

        provider = tl.local("simulated", base_url=server_url)
        job = tl.send_batch(texts, provider, prompt="Explain in one sentence: {text}", name="demo")
        print(f"Sent as one batch: {job.batch_ids[0]}. Waiting for {job.rows} answers.")
        tl.wait_batch(job, poll_s=POLL_S)
        answers = tl.fetch_batch(job)
        print(f"\nThe server's batches, the columns that every provider has:\n{tl.list_batches(provider)[:, :7]}\n")
        print(f"The first answers:\n{answers.select('module', 'name', 'reply', 'llm_status').head(8)}\n")
        counts = counted_by(model_url)

    good = answers.filter(pl.col("llm_status") == "ok").height
    print(f"{answers.height} rows came back, {good} of them ok; the model was asked {counts['received']} times.")
    print(f"Everything is stopped and removed again, after {time.monotonic() - start:.1f} s.")
    return 0 if answers.height == good == counts["received"] == ROWS else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)
