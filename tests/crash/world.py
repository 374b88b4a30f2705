"""The world of a crash run: a server, the model that it asks, its users, and whoever kills it."""

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import msgspec

from tests.crash.asking import BROKEN, Asking
from tests.crash.promises import Left, Waste, broken_promises, complaints, leftovers, waste, what_is_left
from tests.crash.serving import Serving
from tests.crash.traffic import Supply, Watch
from tidyllm.server.stores.sql.engine import database_path
from tidyllm.testing import Behavior, LatencyShape, SimulatedModel, simulated_model

STILL_S = 2.0
"""A transaction that takes longer is one of a process that stands still."""
CALM_S = 0.02
DEADLINE_S = 120.0
CLEAN_WITHIN_S = 15.0
LOOK_EVERY_S = 0.02
REQUESTS_MAX = 300
"""A kill may wait for up to so many further requests, or up to so many seconds."""
REQUESTS_DEADLINE_S = 5.0
AFTER_READY_S = 0.3
AFTER_KILL_S = 1.5
POWER_SHARE = 1 / 3
SERVER: dict[str, object] = {
    "port": 0,
    "commit_interval_s": 0.01,
    "count_interval_s": 0.05,
    "tick_s": 0.1,
    "cancel_grace_s": 2.0,
}


class Kill(str, Enum):
    """Who dies."""

    POWER = "power"
    """All at once, and the disk forgets what was not synced."""
    ALL = "all"
    SUPERVISOR = "supervisor"
    """The others notice, and stop in good order while the next server starts."""
    WORKER = "worker"
    OTHER = "other"
    """The api, the clerk, or a worker that has only just started."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one world."""

    seed: int
    kills: int
    workers: int = 1
    power_share: float = POWER_SHARE


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of one world, or of several."""

    kills: dict[str, int] = {}
    batches: int = 0
    lines: int = 0
    bound: int = 0
    """Requests that may have been sent again: what killed workers had in flight, and what the disk forgot."""
    forgotten: int = 0
    """Answers, among those, that were written and not yet durable when the power went."""
    waste: Waste = Waste()
    violations: list[str] = []
    seconds: float = 0.0

    def __add__(self, other: "Outcome") -> "Outcome":
        """Return both in one."""
        return Outcome(
            kills=dict(Counter(self.kills) + Counter(other.kills)),
            batches=self.batches + other.batches,
            lines=self.lines + other.lines,
            bound=self.bound + other.bound,
            forgotten=self.forgotten + other.forgotten,
            waste=self.waste + other.waste,
            violations=self.violations + other.violations,
            seconds=self.seconds + other.seconds,
        )


class World:
    """A server with its model and its users."""

    def __init__(self, home: Path, plan: Plan, *, model: SimulatedModel) -> None:
        self.rng = random.Random(plan.seed)
        self.slots = self.rng.choice((8, 16))
        settings = {**SERVER, "upstream": model.base_url, "workers": plan.workers, "concurrency": self.slots}
        self.model = model
        self.serving = Serving(home, settings, lossy=True)
        self.watch = Watch(self.serving)
        self.supply = Supply(self.serving, self.watch, name=f"s{plan.seed}", rng=random.Random(plan.seed + 1))
        self.kills: Counter[str] = Counter()
        self.workers_killed = 0
        self.forgotten = 0
        self.violations: list[str] = []

    @property
    def bound(self) -> int:
        """How many requests may have been sent again."""
        return self.workers_killed * self.slots + self.forgotten

    def kill(self, kill: Kill) -> None:
        """Kill somebody, and see to it that the server comes back."""
        serving, rng = self.serving, self.rng
        if (code := serving.exit_code()) is not None:
            self.violations.append(f"the server ended by itself, with {code}")
        victims = self._victims(kill)
        kill = kill if victims else Kill.ALL
        self.kills[kill.value] += 1
        if kill in (Kill.POWER, Kill.ALL):
            self.workers_killed += serving.kill_all()
            if kill is Kill.POWER:
                self.forgotten += serving.cut_power(rng, harsh=rng.random() < 0.5)
            serving.start()
        elif kill is Kill.SUPERVISOR:
            serving.kill_supervisor()
            serving.start()
        else:
            self.workers_killed += serving.kill([rng.choice(sorted(victims))])

    def _victims(self, kill: Kill) -> set[int]:
        """Return who may die: for want of a worker, any process that the server keeps alive."""
        everybody = self.serving.processes()
        workers = self.serving.workers().keys() & everybody
        if kill is Kill.WORKER and workers:
            return workers
        return (
            everybody if kill in (Kill.POWER, Kill.ALL, Kill.SUPERVISOR) else everybody - workers - {self.serving.pid}
        )

    def wait_for_moment(self) -> None:
        """Let some work be done, or some time pass."""
        rng = self.rng
        if rng.random() < 0.5:
            more = self.model.witness.counts().received + rng.randint(1, REQUESTS_MAX)
            with contextlib.suppress(TimeoutError):
                self.model.witness.wait(received=more, timeout_s=REQUESTS_DEADLINE_S)
        elif rng.random() < 0.5:
            self.serving.wait_ready()
            pass_time(rng.uniform(0, AFTER_READY_S))
        else:
            pass_time(rng.uniform(0, AFTER_KILL_S))

    @contextlib.contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """Have a process stand still for the block; not in mid-transaction, as SQLite would wait for it."""
        os.kill(pid, signal.SIGSTOP)
        try:
            while self._database_is_locked():
                os.kill(pid, signal.SIGCONT)
                pass_time(CALM_S)
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _database_is_locked(self) -> bool:
        """Return whether a transaction that writes stands still: the others' last milliseconds."""
        with contextlib.closing(sqlite3.connect(database_path(self.serving.data), timeout=STILL_S)) as connection:
            try:
                connection.execute("begin immediate")
            except sqlite3.OperationalError:
                return True
            connection.rollback()
            return False

    def all_done_but_of(self, worker_id: str) -> bool:
        """Return whether there is nothing to be done but what one worker holds."""
        question = "select count(*) from shard where state <> 'done' and (worker_id is null or worker_id <> ?)"
        with contextlib.closing(sqlite3.connect(database_path(self.serving.data))) as connection:
            return bool(connection.execute(question, (worker_id,)).fetchone() == (0,))

    def end(self) -> Outcome:
        """Let all batches end, stop the server, and look at what is left."""
        asking = Asking(self.serving)
        self.supply.stop()
        self.serving.wait_ready()
        until(lambda: self._all_ended(asking), "the end of all batches")
        self.watch.stop()
        self._stop_in_good_order()
        self.serving.start()
        self.serving.wait_ready()
        left = what_is_left(asking)
        with contextlib.suppress(AssertionError):  # What is not cleaned up in time is found below.
            until(lambda: self._is_clean(left), "a data folder without leftovers", within_s=CLEAN_WITHIN_S)
        self._stop_in_good_order()
        asked, wasted = self.model.witness.keys(), waste(left, self.model.witness.keys())
        self.violations += self.supply.failures
        self.violations += broken_promises(left, self.supply.submissions, watch=self.watch, asked=asked)
        self.violations += leftovers(self.serving.data, left.files)
        self.violations += complaints(self.serving.log)
        if max(wasted.sent_again, wasted.unused) > self.bound:
            self.violations.append(f"{wasted} is more than {self.bound}")
        return Outcome(
            kills=dict(self.kills),
            batches=len(left.batches),
            lines=sum(batch["request_counts"]["total"] for batch in left.batches.values()),
            bound=self.bound,
            forgotten=self.forgotten,
            waste=wasted,
            violations=self.violations,
        )

    def _is_clean(self, left: Left) -> bool:
        held = self.serving.workers().keys() & self.serving.processes()
        return len(list(leftovers(self.serving.data, left.files))) <= len(held)

    def _all_ended(self, asking: Asking) -> bool:
        with contextlib.suppress(*BROKEN):
            batches = list(asking.all_of("/v1/batches"))
            # Until the watch has seen the end of each and read its files: all that is later compared with it.
            return all(self.watch.has_all_of(batch) for batch in batches)
        return False

    def _stop_in_good_order(self) -> None:
        code = self.serving.stop()
        if code != 0:
            self.violations.append(f"a stop in good order ended with {code}")
        if rest := self.serving.processes():
            self.violations.append(f"processes that are left after the stop: {rest}")


@contextlib.contextmanager
def world(home: Path, plan: Plan) -> Iterator[World]:
    """Have a world in which a server is starting; all its processes end with the block."""
    behavior = Behavior(latency_ms=12, latency_shape=LatencyShape.LOGNORMAL, seed=plan.seed)
    with simulated_model(behavior) as model:
        created = World(home, plan, model=model)
        created.serving.start()
        created.watch.start()
        try:
            yield created
        finally:
            created.supply.stop()
            created.watch.stop()
            created.serving.kill_all()


def pass_time(seconds: float) -> None:
    threading.Event().wait(seconds)


def until(condition: Callable[[], bool], what: str, *, within_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        pass_time(LOOK_EVERY_S)
