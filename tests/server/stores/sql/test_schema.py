"""How SQLite goes about each question: by an index, however many rows there are."""

import re
from collections.abc import Callable
from typing import TypeAlias

import pytest
from sqlalchemy import Connection, Engine, event

from tests.server.stores.samples import (
    DAY,
    MINE,
    NOW,
    a_batch,
    a_file,
    a_state,
    an_ending,
    shards_of,
    start_a_batch,
    work_off,
)
from tidyllm.server.stores.sql.store import SqlStore

Parameters: TypeAlias = tuple[object, ...] | list[tuple[object, ...]]
HOT: dict[str, Callable[[SqlStore], object]] = {
    "file": lambda store: store.file(MINE, "file-1", now=NOW),
    "list_files": lambda s: s.list_files(MINE, now=NOW, limit=9, after="file-1", purpose=None, newest_first=True),
    "list_files_of": lambda s: s.list_files(MINE, now=NOW, limit=9, after=None, purpose="x", newest_first=False),
    "delete_file": lambda store: store.delete_file(MINE, "file-1", now=NOW),
    "purgeable_blobs": lambda store: store.purgeable_blobs(now=NOW, limit=9),
    "blobs_purged": lambda store: store.blobs_purged(["blob-file-1", "blob-file-2"], now=NOW),
    "batch": lambda store: store.batch(MINE, "batch_1"),
    "list_batches": lambda store: store.list_batches(MINE, limit=20, after=None),
    "list_batches_after": lambda store: store.list_batches(MINE, limit=20, after="batch_2"),
    "cancel_batch": lambda store: store.cancel_batch(MINE, "batch_1", now=NOW),
    "unread_batches": lambda store: store.unread_batches(limit=9),
    "start_batch": lambda store: store.start_batch("batch_2", model="m", shards=shards_of(1), now=NOW),
    "fail_batch": lambda store: store.fail_batch("batch_1", problems=[], now=NOW),
    "lapse_batches": lambda store: store.lapse_batches(now=NOW + DAY),
    "finalize_batches": lambda store: store.finalize_batches(now=NOW),
    "ended_batches": lambda store: store.ended_batches(["batch_1", "batch_2"]),
    "shards": lambda store: store.shards("batch_1"),
    "publish": lambda store: store.publish(an_ending("batch_1"), now=NOW),
    "live_workers": lambda store: store.live_workers(),
    "bury_worker": lambda store: store.bury_worker("w1", now=NOW),
    "stopping_batches": lambda store: store.stopping_batches("w1"),
    "note_upstreams": lambda store: store.note_upstreams("w1", [a_state("a")], now=NOW),
}


@pytest.fixture
def store(engine: Engine) -> SqlStore:
    store = SqlStore(engine)
    store.add_worker("w1", pid=1, now=NOW)
    store.add_file(a_file("file-1"))
    store.add_file(a_file("file-2"))
    start_a_batch(store, "batch_1")
    store.add_batch(a_batch("batch_2"))
    return store


def plans_of(engine: Engine, store: SqlStore, ask: Callable[[SqlStore], object]) -> list[str]:
    """Return SQLite's plan, step by step, of each statement that a question makes."""
    plans: list[str] = []

    def explain(
        connection: Connection, _cursor: object, statement: str, parameters: Parameters, *_more: object
    ) -> None:
        if not statement.startswith(("BEGIN", "INSERT", "PRAGMA")):
            one = parameters[0] if isinstance(parameters, list) else parameters
            driver = connection.connection.cursor()
            driver.execute(f"EXPLAIN QUERY PLAN {statement}", one)
            plans.extend(step for _, _, _, step in driver.fetchall())

    # The store's engine for writing is made from this one and does not hear what is listened for later.
    for heard in (engine, store._writing):
        event.listen(heard, "before_cursor_execute", explain)
    ask(store)
    return plans


@pytest.mark.parametrize("name", HOT)
def test_question_is_answered_by_an_index(engine: Engine, store: SqlStore, name: str) -> None:
    plans = plans_of(engine, store, HOT[name])
    assert plans
    scans = [step for step in plans if re.match(r"SCAN (file|batch|shard|worker|project)\b", step)]
    assert [step for step in scans if step != "SCAN worker USING INDEX ix_worker_live"] == []
    assert [step for step in plans if "TEMP B-TREE" in step] == []


def test_shards_are_claimed_by_an_index_and_those_of_a_few_batches_are_sorted(engine: Engine, store: SqlStore) -> None:
    # Only as many batches as shards are wanted are looked at more closely, however many wait.
    plans = plans_of(engine, store, lambda each: work_off(each, "w1", each.claim_shards("w1", limit=2)))
    assert "SEARCH batch USING INDEX ix_batch_open (status=?)" in plans
    assert "SEARCH shard USING PRIMARY KEY (batch_seq=? AND number=?)" in plans
    assert [step for step in plans if re.match(r"SCAN (batch|shard|worker|mine)\b", step)] == []
    assert "USE TEMP B-TREE FOR ORDER BY" in plans


def test_stopped_batches_are_found_by_an_index_and_sorted(engine: Engine, store: SqlStore) -> None:
    # Few batches are stopping at any time: these may be sorted.
    plans = plans_of(engine, store, lambda each: each.finishable_batches(stopped_before=NOW, limit=1))
    assert any(re.match(r"SEARCH batch USING INDEX ix_batch_(open|expiring) ", step) for step in plans)
    assert "SEARCH shard USING COVERING INDEX ix_shard_open (batch_seq=? AND state=?)" in plans
    assert [step for step in plans if step.startswith("SCAN")] == []


def test_page_of_running_batches_takes_one_question(engine: Engine, store: SqlStore) -> None:
    for number in range(3, 23):
        start_a_batch(store, f"batch_{number}")
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *facts: asked.append(facts[2]))
    page = store.list_batches(MINE, limit=20, after=None)
    assert page is not None
    assert len(page) == 20
    assert [statement.split()[0] for statement in asked] == ["BEGIN", "SELECT"]
    assert not any("count(" in statement for statement in asked)
