"""How fast a named run over a table is, what it costs, and whether it keeps to a limit that is announced in headers.

The floor is a bare loop of the same HTTP client on the same kind of event loop, uvloop's; the same as a script has it,
in `asyncio.run`, is told beside it. AsyncOpenAI in a gather is measured too, and `litellm.acompletion` where it can be
imported. The model has a process of its own, and so has each run.
"""

import asyncio
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

import msgspec
import polars as pl
import uvloop

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import MODEL, Http, Sampler, simulated, workshop
from tidyllm import chat, local
from tidyllm.core.wire import Request
from tidyllm.testing import Behavior
from tidyllm.transport.http import HttpClient

ROWS = 10_000
ROUNDS = 5
"""Of clients and table in turn; the median of each counts."""
OTHERS_ROWS = 1_000
"""Of the slower ones."""
IN_FLIGHT = 64
LATENCY_MS = 50
MANY = 2_000
"""In flight at once, which has to work."""
PER_MINUTE = 600
LIMITED_S = 90
MANY_AT_THE_END = 20
"""Rows at the end that are not looked at: there the run has nothing more to send."""
CPU_MS_MAX = 0.6
SECONDS_MAX = 10
SHARE_MIN = 40
SHARE_LIMITED_MIN = 95
REFUSED_MAX = 1
OPENAI_MIN, LITELLM_MIN = 5, 9
"""How many times our CPU theirs is at least."""
TYPE = (("content-type", "application/json"),)


class Run(msgspec.Struct, frozen=True):
    """What one contender did."""

    seconds: float
    cpu_s: float
    rows: int

    @property
    def cpu_ms(self) -> float:
        """Return the CPU of one call."""
        return self.cpu_s / self.rows * 1000


def texts(count: int) -> list[str]:
    """Return what is asked."""
    return [f"row {number:06}: explain in one sentence what it means." for number in range(count)]


def by_table(url: str, count: int, *, in_flight: int | None) -> None:
    """Answer a table as a named run."""
    table = pl.DataFrame({"text": texts(count)})
    rated = chat(table, local(MODEL, base_url=url), prompt="{text}", name="rows", max_concurrency=in_flight)
    if rated["llm_status"].unique().to_list() != ["ok"]:
        raise SystemExit(f"Not all rows were answered: {rated['llm_status'].value_counts()}")


def by_client(
    url: str, count: int, *, in_flight: int | None, run: Callable[[Coroutine[object, object, None]], None] = uvloop.run
) -> None:
    """Ask with the bare HTTP client."""

    async def ask() -> None:
        client = HttpClient()
        waiting = iter(texts(count))

        async def slot() -> None:
            for text in waiting:
                body = msgspec.json.encode({"model": MODEL, "messages": [{"role": "user", "content": text}]})
                await client.send(Request(method="POST", url=f"{url}/chat/completions", headers=TYPE, body=body))

        await asyncio.gather(*(slot() for _ in range(in_flight or IN_FLIGHT)))
        await client.close()

    run(ask())


def by_openai(url: str, count: int, *, in_flight: int | None) -> None:
    """Ask with AsyncOpenAI, in a gather with a semaphore."""
    from openai import AsyncOpenAI  # noqa: PLC0415 - it is another contender's

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=5)

    def ask(text: str) -> Coroutine[object, object, object]:
        return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])

    asyncio.run(_gathered(ask, count, in_flight))


def by_litellm(url: str, count: int, *, in_flight: int | None) -> None:
    """Ask with litellm, in a gather with a semaphore."""
    litellm = importlib.import_module("litellm")

    def ask(text: str) -> Coroutine[object, object, object]:
        asked: Coroutine[object, object, object] = litellm.acompletion(
            model=f"openai/{MODEL}", messages=[{"role": "user", "content": text}], api_base=url, api_key="none"
        )
        return asked

    asyncio.run(_gathered(ask, count, in_flight))


async def _gathered(ask: Callable[[str], Coroutine[object, object, object]], count: int, in_flight: int | None) -> None:
    room = asyncio.Semaphore(in_flight or IN_FLIGHT)

    async def one(text: str) -> None:
        async with room:
            await ask(text)

    await asyncio.gather(*map(one, texts(count)))


CONTENDERS: dict[str, Callable[..., None]] = {
    "table": by_table,
    "client": by_client,
    "client in asyncio.run": partial(by_client, run=asyncio.run),
    "openai": by_openai,
    "litellm": by_litellm,
}


def ran(name: str, url: str, count: int, *, in_flight: int | None = IN_FLIGHT) -> Run:
    """Have a contender run in a process of its own, in an empty folder."""
    with tempfile.TemporaryDirectory(prefix="tidyllm-bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.rows", name, url, str(count), str(in_flight or 0), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Run)


def contend(name: str, url: str, count: int, *, in_flight: int, folder: str) -> None:
    """Run as one contender, and print what it took; what is imported first does not count."""
    contender = CONTENDERS[name]
    os.chdir(folder)
    contender(url, 10, in_flight=in_flight or None)
    os.environ["TIDYLLM_HOME"] = str(Path(folder) / "measured")
    began, cpu = time.monotonic(), time.process_time()
    contender(url, count, in_flight=in_flight or None)
    print(msgspec.json.encode(Run(time.monotonic() - began, time.process_time() - cpu, count)).decode())


def cost(folder: Path, *, count: int, others: int) -> list[Figure]:
    """Measure CPU and speed without latency."""
    with simulated(folder) as url:
        names = ("client", "client in asyncio.run", "table")
        rounds = [[ran(name, url, count) for name in names] for _ in range(ROUNDS)]
        bare, script, table = (
            sorted(runs, key=lambda run: run.seconds)[ROUNDS // 2] for runs in zip(*rounds, strict=True)
        )
        share = 100 * bare.seconds / table.seconds
        figures = [
            Figure(name="no latency: bare client (floor)", value=count / bare.seconds, unit="rows/s", ratio=1),
            Figure(
                name="no latency: bare client in asyncio.run",
                value=count / script.seconds,
                unit="rows/s",
                ratio=bare.seconds / script.seconds,
            ),
            Figure(name="no latency: chat, named", value=count / table.seconds, unit="rows/s", ratio=share / 100),
            Figure(name="no latency: chat, of the floor", value=share, unit="%", at_least=SHARE_MIN),
            Figure(name="bare client's CPU per call (floor)", value=bare.cpu_ms, unit="ms", ratio=1),
            Figure(
                name="chat's CPU per call",
                value=table.cpu_ms,
                unit="ms",
                ratio=table.cpu_ms / bare.cpu_ms,
                at_most=CPU_MS_MAX,
            ),
        ]
        for name, library, least in (("openai", "AsyncOpenAI", OPENAI_MIN), ("litellm", "litellm", LITELLM_MIN)):
            if importlib.util.find_spec(name) is not None:
                theirs = ran(name, url, others)
                times = theirs.cpu_ms / table.cpu_ms
                figures += [
                    Figure(name=f"{library}'s", value=theirs.cpu_ms, unit="ms", ratio=theirs.cpu_ms / bare.cpu_ms),
                    Figure(name=f"{library}'s to ours", value=times, unit="times", at_least=least),
                ]
        return figures


def waits(folder: Path, *, count: int) -> list[Figure]:
    """Measure with latency, so many in flight as are allowed, and with very many."""
    with simulated(folder, Behavior(latency_ms=LATENCY_MS)) as url:
        ideal = count * LATENCY_MS / 1000 / IN_FLIGHT
        table = ran("table", url, count)
    with simulated(folder, Behavior(latency_ms=1000)) as url:
        many = ran("table", url, count, in_flight=MANY)
        peak = Http(url.removesuffix("/v1")).counts().in_flight_peak
    name = f"{count:,} rows of {LATENCY_MS} ms, {IN_FLIGHT} in flight"
    return [
        Figure(name=f"{name}: ideal (floor)", value=ideal, unit="s", ratio=1),
        Figure(name=name, value=table.seconds, unit="s", ratio=table.seconds / ideal, at_most=SECONDS_MAX),
        Figure(name=f"{count:,} rows of 1 s, {MANY:,} allowed", value=many.seconds, unit="s"),
        Figure(name="most in flight there", value=peak, unit="requests"),
    ]


def limited(folder: Path, *, seconds: float) -> list[Figure]:
    """Measure under a limit by the minute that the headers announce.

    The model's bucket is full at first: what is looked at is the end, when what it held over has been used up.
    """
    per_s = PER_MINUTE / 60
    count = round(PER_MINUTE + per_s * seconds)
    with simulated(folder, Behavior(latency_ms=1000, requests_per_minute=PER_MINUTE)) as url:
        http = Http(url.removesuffix("/v1"))
        with Sampler(lambda: http.counts().statuses.get(200, 0), every_s=0.5) as sampler:
            table = ran("table", url, count, in_flight=None)
        statuses = http.counts().statuses
    running = [(at, answered) for at, answered in sampler.samples if answered < count - MANY_AT_THE_END]
    last, most = running[-1]
    first, least = next((at, answered) for at, answered in running if at >= last - seconds / 2)
    rate = (most - least) / (last - first)
    name = f"{count:,} rows of 1 s, {PER_MINUTE} a minute announced"
    return [
        Figure(name=f"{name}: at that rate", value=count / per_s, unit="s", ratio=1),
        Figure(name=name, value=table.seconds, unit="s", ratio=table.seconds / count * per_s),
        Figure(
            name="in the end, of that rate",
            value=100 * rate / per_s,
            unit="%",
            ratio=rate / per_s,
            at_least=SHARE_LIMITED_MIN,
        ),
        Figure(name="refused", value=100 * statuses.get(429, 0) / count, unit="%", at_most=REFUSED_MAX),
    ]


def main() -> int:
    """Measure all, and tell."""
    asked = given("rows", about=__doc__)
    count = asked.size(ROWS)
    with workshop() as folder:
        figures = [
            *cost(folder, count=count, others=asked.size(OTHERS_ROWS)),
            *waits(folder, count=count),
            *limited(folder, seconds=asked.size(LIMITED_S)),
        ]
    curves = {figure.name: [(0.0, 0.0), (1.0, figure.value)] for figure in figures if figure.unit == "rows/s"}
    plot = Plot(x="seconds", y="rows answered without latency", curves=curves)
    title = f"rows: chat over a table of {count:,} rows, with its journal"
    return tell(Report(name="rows", title=title, figures=figures, plot=plot), asked)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in CONTENDERS:
        name, url, count, in_flight, folder = sys.argv[1:]
        contend(name, url, int(count), in_flight=int(in_flight), folder=folder)
    else:
        sys.exit(main())
