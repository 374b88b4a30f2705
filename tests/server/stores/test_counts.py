"""A property of every store: whatever workers do, in any order, the counts add up and no shard has two holders."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.stores.samples import MINE, NOW, NewDatabase, a_report, start_a_batch
from tidyllm.core.batch import RequestCounts, UsageSum
from tidyllm.server.records import Lease, ShardReport
from tidyllm.server.store import Store

WORKERS = ("w1", "w2")
BATCHES = {"batch_1": 3, "batch_2": 2}
WORDS = st.sampled_from(["claim", "report", "done", "release", "stale", "bury"])
STEPS = st.lists(st.tuples(WORDS, st.sampled_from(WORKERS), st.integers(0, 10)), max_size=25)


class Model:
    """What a store should know of its shards, in plain dictionaries."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.told: dict[tuple[str, int], ShardReport] = {}
        self.held: dict[str, list[Lease]] = {worker: [] for worker in WORKERS}
        self.lost: list[Lease] = []
        self.epochs: dict[tuple[str, int], int] = {}
        self.lives = dict.fromkeys(WORKERS, 0)

    def name(self, worker: str) -> str:
        return f"{worker}-{self.lives[worker]}"

    def claim(self, worker: str, limit: int) -> None:
        for lease in self.store.claim_shards(self.name(worker), limit=limit):
            place = (lease.batch_id, lease.shard.number)
            assert lease.epoch == self.epochs.get(place, 0) + 1
            assert all(place != (one.batch_id, one.shard.number) for held in self.held.values() for one in held)
            self.epochs[place] = lease.epoch
            self.held[worker].append(lease)

    def tell(self, worker: str, word: str, completed: int) -> None:
        if word == "stale":
            reports = [a_report(lease, completed=completed, done=True) for lease in self.lost]
            self.store.report(self.name(worker), reports)
            return
        leases = self.held[worker][:1]
        reports = [a_report(one, completed=completed, failed=10 - completed, done=word == "done") for one in leases]
        send = self.store.release_shards if word == "release" else self.store.report
        send(self.name(worker), reports)
        self.told |= {(report.batch_id, report.number): report for report in reports}
        if word != "report":
            self.held[worker] = self.held[worker][1:]
            self.lost += leases

    def bury(self, worker: str) -> None:
        assert self.store.bury_worker(self.name(worker), now=NOW) == len(self.held[worker])
        self.lost += self.held[worker]
        self.held[worker] = []
        self.lives[worker] += 1
        self.store.add_worker(self.name(worker), pid=1, now=NOW)

    def check(self) -> None:
        for batch_id, shards in BATCHES.items():
            told = [report for (owner, _), report in self.told.items() if owner == batch_id]
            batch = self.store.batch(MINE, batch_id)
            assert batch is not None
            assert batch.counts == RequestCounts(
                total=10 * shards,
                completed=sum(report.completed for report in told),
                failed=sum(report.failed for report in told),
            )
            usage = UsageSum()
            for report in told:
                usage.add(report.usage)
            assert batch.usage == usage.total()


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_counts_add_up(new_database: NewDatabase, steps: list[tuple[str, str, int]]) -> None:
    store = new_database()()
    try:
        model = Model(store)
        for worker in WORKERS:
            store.add_worker(model.name(worker), pid=1, now=NOW)
        for batch_id, shards in BATCHES.items():
            start_a_batch(store, batch_id, shards=shards)
        for word, worker, number in steps:
            match word:
                case "claim":
                    model.claim(worker, number)
                case "bury":
                    model.bury(worker)
                case _:
                    model.tell(worker, word, number)
            model.check()
    finally:
        store.close()
