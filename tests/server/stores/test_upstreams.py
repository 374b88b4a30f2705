"""What the contract says of the states of upstreams, and of the limits that are remembered."""

import msgspec

from tests.server.stores.samples import NOW, Connect, a_state
from tidyllm.server.store import Store


def test_states_are_remembered_as_noted_with_who_and_when(store: Store, connect: Connect) -> None:
    noted = [a_state("b", state="paused"), a_state("a", limit_found=16.5)]
    store.note_upstreams("w1", [msgspec.structs.replace(one, worker_id="?", updated_at=0) for one in noted], now=NOW)
    assert connect().upstream_states() == [noted[1], noted[0]]


def test_what_is_noted_stands_in_place_of_what_was(store: Store) -> None:
    store.note_upstreams("w1", [a_state("a"), a_state("b", limit_found=8)], now=NOW)
    store.note_upstreams("w1", [a_state("a", state="paused"), a_state("c")], now=NOW + 5)
    found = [(one.name, one.state, one.updated_at) for one in store.upstream_states()]
    assert found == [("a", "paused", NOW + 5), ("c", "open", NOW + 5)]
    store.note_upstreams("w1", [], now=NOW + 6)
    assert store.upstream_states() == []


def test_states_are_those_of_live_workers_by_name_and_then_by_worker(store: Store) -> None:
    for worker_id in ("w3", "w2", "w4"):
        store.add_worker(worker_id, pid=1, now=NOW)
        store.note_upstreams(worker_id, [a_state("b"), a_state("a")], now=NOW)
    store.bury_worker("w4", now=NOW)
    found = [(one.name, one.worker_id) for one in store.upstream_states()]
    assert found == [("a", "w2"), ("a", "w3"), ("b", "w2"), ("b", "w3")]


def test_a_worker_that_is_dead_or_unknown_notes_nothing(store: Store) -> None:
    store.bury_worker("w1", now=NOW)
    for worker_id in ("w1", "w-unknown"):
        store.note_upstreams(worker_id, [a_state("a", limit_found=8)], now=NOW)
    assert store.upstream_states() == []
    assert store.learned_limit("a") is None


def test_the_newest_limit_counts_whoever_found_it(store: Store) -> None:
    store.add_worker("w2", pid=2, now=NOW)
    assert store.learned_limit("a") is None
    store.note_upstreams("w1", [a_state("a", limit_found=8), a_state("b", limit_found=1)], now=NOW)
    store.note_upstreams("w2", [a_state("a", limit_found=9)], now=NOW - 1)
    assert store.learned_limit("a") == 8
    store.note_upstreams("w2", [a_state("a", limit_found=10)], now=NOW + 1)
    assert store.learned_limit("a") == 10
    store.note_upstreams("w2", [a_state("a")], now=NOW + 2)
    assert store.learned_limit("a") == 8


def test_a_dead_worker_s_limit_is_remembered_until_a_later_one_dies(store: Store) -> None:
    store.note_upstreams("w1", [a_state("a", limit_found=8), a_state("b", limit_found=3)], now=NOW)
    store.bury_worker("w1", now=NOW)
    assert store.learned_limit("a") == 8
    store.add_worker("w2", pid=2, now=NOW)
    # It begins with no limit of its own, and may die before it has found one.
    store.note_upstreams("w2", [a_state("a")], now=NOW + 1)
    store.bury_worker("w2", now=NOW + 1)
    assert store.learned_limit("a") == 8
    store.add_worker("w3", pid=3, now=NOW)
    store.note_upstreams("w3", [a_state("a", limit_found=20)], now=NOW + 2)
    store.bury_worker("w3", now=NOW + 2)
    assert (store.learned_limit("a"), store.learned_limit("b")) == (20, 3)


def test_a_burial_leaves_the_states_of_living_workers_alone(store: Store) -> None:
    store.add_worker("w2", pid=2, now=NOW)
    store.note_upstreams("w1", [a_state("a", limit_found=8), a_state("b")], now=NOW + 5)
    store.note_upstreams("w2", [a_state("a", limit_found=9), a_state("b")], now=NOW)
    store.bury_worker("w1", now=NOW)
    assert [(one.name, one.worker_id) for one in store.upstream_states()] == [("a", "w2"), ("b", "w2")]
    assert store.learned_limit("a") == 8
