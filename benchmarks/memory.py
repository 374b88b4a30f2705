"""How much memory each process of the server takes, at every stage of large batches.

First 200 MB of chat requests in 50,000 lines, then embeddings whose output is 20 times their input. The floor of each
process is what it takes when nothing has been asked of it.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import (
    CHAT,
    EMBEDDINGS,
    Batch,
    Sampler,
    Server,
    embeddings,
    peak_rss_bytes,
    requests,
    rss_bytes,
    serving,
    simulated,
    workshop,
    written,
)
from tidyllm.server.loops.worker import WAITING_BYTES_MAX
from tidyllm.server.settings import Settings

MB = 1_000_000
CHATS = 50_000
CHAT_BYTES = 4_000
EMBEDDED = 20_000
TEXT_BYTES = 1_480
DIMENSIONS = 1_536
"""With it an answer is about 20 times as long as its line."""
LOOK_S = 0.02
RSS_MB_MAX = 150
_WORKER_BYTES = Settings().unsynced_bytes_max + Settings().in_flight_bytes_max + WAITING_BYTES_MAX
BUDGETS_MB = {"api": 0.0, "worker": _WORKER_BYTES / MB, "clerk": 0.0}
"""What each process may hold on top, by its settings."""
IDLE = "idle"


class Look(msgspec.Struct, frozen=True):
    """The memory of each process at one moment, in MB."""

    stage: str
    rss: dict[str, float]


class Watch:
    """Watches a server's processes, and knows at which stage the work is."""

    def __init__(self, server: Server) -> None:
        self.roles = server.roles()
        self.stage = IDLE
        self._sampler = Sampler(self._look, every_s=LOOK_S)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch, as long as the `with` block runs."""
        with self._sampler:
            yield

    def _look(self) -> Look:
        return Look(self.stage, {role: rss_bytes(pid) / MB for role, pid in self.roles.items()})

    @property
    def looks(self) -> list[tuple[float, Look]]:
        """Return all that was seen, with its moments."""
        return self._sampler.samples

    def peaks(self) -> dict[tuple[str, str], float]:
        """Return the largest memory of each process at each stage."""
        found: dict[tuple[str, str], float] = {}
        for _, look in self.looks:
            for role, rss in look.rss.items():
                found[role, look.stage] = max(found.get((role, look.stage), 0.0), rss)
        return found


def follow(server: Server, watch: Watch, *, lines: Path, endpoint: str, name: str) -> int:
    """Take a batch from its upload to its download, and tell the watch of each stage; return the output's length."""
    watch.stage = f"{name}: upload"
    file_id = server.upload(lines)

    def seen(batch: Batch) -> None:
        watch.stage = f"{name}: {batch.status}"

    watch.stage = f"{name}: validating"
    batch = server.create(file_id, endpoint=endpoint)
    done = server.wait(batch.id, seen=seen)
    watch.stage = f"{name}: download"
    return server.download(done.output_file_id or "")


def figures(watch: Watch, peaks: Mapping[tuple[str, str], float]) -> Iterator[Figure]:
    """Yield the rows: each process at each stage, and the most that the system ever counted for it."""
    for role, pid in watch.roles.items():
        floor = peaks[role, IDLE]
        bar = RSS_MB_MAX + BUDGETS_MB[role]
        for (other, stage), rss in peaks.items():
            if other == role:
                yield Figure(name=f"{role}, {stage}", value=rss, unit="MB", ratio=rss / floor)
        most = max(peak_rss_bytes(pid) / MB, *(look.rss[role] for _, look in watch.looks))
        yield Figure(name=f"{role}, most ever", value=most, unit="MB", ratio=most / floor, at_most=bar)


def main() -> int:
    """Measure both batches in one server, and tell."""
    asked = given("memory", about=__doc__)
    chats, embedded = asked.size(CHATS), asked.size(EMBEDDED)
    with workshop() as folder, simulated(folder) as url, serving(folder, url) as server:
        chat = written(folder / "chat.jsonl", requests(chats, line_bytes=CHAT_BYTES))
        embed = written(folder / "embed.jsonl", embeddings(embedded, text_bytes=TEXT_BYTES, dimensions=DIMENSIONS))
        watch = Watch(server)
        with watch.running():
            time.sleep(1)
            follow(server, watch, lines=chat, endpoint=CHAT, name="chat")
            output = follow(server, watch, lines=embed, endpoint=EMBEDDINGS, name="embeddings")
        notes = [
            f"chat: {chats:,} lines, {chat.stat().st_size / MB:,.0f} MB",
            f"embeddings: {embedded:,} lines, {embed.stat().st_size / MB:,.0f} MB",
            f"their output: {output / MB:,.0f} MB, {output / embed.stat().st_size:.1f} times as much",
        ]
        found = list(figures(watch, watch.peaks()))
    began = watch.looks[0][0]
    curves = {role: [(moment - began, look.rss[role]) for moment, look in watch.looks] for role in watch.roles}
    levels = {f"bar of {role}": RSS_MB_MAX + BUDGETS_MB[role] for role in ("api", "worker")}
    plot = Plot(x="seconds", y="MB in RAM", curves=curves, levels=levels)
    title = "memory: RSS of each process at every stage (floor: the same process before any work)"
    return tell(Report(name="memory", title=title, figures=found, plot=plot, notes=notes), asked)


if __name__ == "__main__":
    sys.exit(main())
