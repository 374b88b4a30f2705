import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.testing.asking import chat, dial, order, question
from tidyllm.core.errors import SettingError
from tidyllm.core.rate_limit import RateLimit, read_rate_limit
from tidyllm.testing import Behavior, OverCapacity, simulated_model
from tidyllm.testing.behavior import Fault
from tidyllm.testing.capacity import RateBucket, Room, duration
from tidyllm.testing.witness import Ticket, Witness

TEXTS = [f"text {number}" for number in range(20)]


def test_no_more_are_worked_on_than_the_capacity_and_the_rest_waits() -> None:
    with simulated_model(Behavior(capacity=3)) as model, ThreadPoolExecutor(10) as pool:
        model.hold()
        replies = [pool.submit(chat, model, text) for text in TEXTS[:10]]
        counts = model.witness.wait(received=10)
        assert (counts.working_peak, counts.waiting_peak, counts.in_flight) == (3, 7, 10)
        model.release()
        assert {reply.result().status for reply in replies} == {200}
        counts = model.witness.counts()
    assert (counts.working_peak, counts.waiting_peak, counts.answered, counts.in_flight) == (3, 7, 10, 0)


def test_without_a_capacity_nobody_waits() -> None:
    with simulated_model() as model, ThreadPoolExecutor(10) as pool:
        model.hold()
        replies = [pool.submit(chat, model, text) for text in TEXTS[:10]]
        counts = model.witness.wait(received=10)
        model.release()
        assert {reply.result().status for reply in replies} == {200}
    assert (counts.working_peak, counts.waiting_peak) == (10, 0)


def test_a_latency_begins_when_the_request_is_worked_on() -> None:
    begun = time.monotonic()
    with simulated_model(Behavior(capacity=1, latency_ms=30)) as model, ThreadPoolExecutor(3) as pool:
        assert [reply.status for reply in pool.map(lambda text: chat(model, text), TEXTS[:3])] == [200] * 3
    assert time.monotonic() - begun >= 0.08


def test_a_full_model_may_refuse_and_say_when_to_come_back() -> None:
    behavior = Behavior(capacity=1, over_capacity=OverCapacity.REFUSE, hang_rate=1, retry_after_s=0.5)
    with simulated_model(behavior) as model, dial(model) as hanging:
        hanging.sendall(question("first"))
        model.witness.wait(received=1)
        reply = chat(model, "second")
        counts = model.witness.counts()
    assert (reply.status, reply.headers["retry-after"]) == (429, "0.5")
    assert reply.json()["error"]["code"] == "rate_limit_exceeded"
    assert (counts.in_flight, counts.statuses) == (1, {429: 1})
    assert (counts.working_peak, counts.waiting_peak) == (1, 0)


def test_a_full_model_may_refuse_without_saying_when_to_come_back() -> None:
    behavior = Behavior(capacity=1, over_capacity=OverCapacity.REFUSE, hang_rate=1, retry_after_s=0)
    with simulated_model(behavior) as model, dial(model) as hanging:
        hanging.sendall(question("first"))
        model.witness.wait(received=1)
        assert "retry-after" not in chat(model, "second").headers


def test_whoever_gives_up_makes_place() -> None:
    behavior = Behavior(capacity=1, hang_rate=0.5)
    hangs = _texts_with(behavior, Fault.HANG)
    good = _texts_with(behavior, None)
    with simulated_model(behavior) as model, dial(model) as patient:
        with dial(model) as working:
            working.sendall(question(next(hangs)))
            model.witness.wait(received=1)
            with dial(model) as waiting:
                waiting.sendall(question(next(hangs)))
                model.witness.wait(received=2)
            patient.sendall(question(next(good)))
            model.witness.wait(received=3)
        assert patient.recv(100).startswith(b"HTTP/1.1 200 ")
    counts = model.witness.counts()
    assert (counts.answered, counts.abandoned, counts.in_flight, counts.working_peak) == (1, 2, 0, 1)


def _texts_with(behavior: Behavior, fault: Fault | None) -> "itertools.filterfalse[str]":
    """Return texts whose first requests meet this fault."""

    def is_other(text: str) -> bool:
        body = question(text).partition(b"\r\n\r\n")[2]
        return behavior.plan(behavior.digest(body), 1).fault is not fault

    return itertools.filterfalse(is_other, map(str, itertools.count()))


def test_the_capacity_changes_with_the_received_requests() -> None:
    behavior = Behavior(capacity=1, capacity_changes=((4, 3), (6, 2)))
    with simulated_model(behavior) as model, ThreadPoolExecutor(8) as pool:
        model.hold()
        replies = [pool.submit(chat, model, text) for text in TEXTS[:3]]
        counts = model.witness.wait(received=3)
        assert (counts.working_peak, counts.waiting_peak) == (1, 2)
        replies.append(pool.submit(chat, model, TEXTS[3]))
        assert model.witness.wait(received=4).working_peak == 3
        replies += [pool.submit(chat, model, text) for text in TEXTS[4:8]]
        assert model.witness.wait(received=8).waiting_peak == 5
        model.release()
        assert {reply.result().status for reply in replies} == {200}


def test_a_capacity_may_be_set_while_the_model_runs() -> None:
    with simulated_model(Behavior(capacity=1)) as model, ThreadPoolExecutor(6) as pool:
        model.hold()
        replies = [pool.submit(chat, model, text) for text in TEXTS[:4]]
        assert model.witness.wait(received=4).working_peak == 1
        model.set_capacity(3)
        assert model.witness.counts().working_peak == 3
        model.set_capacity(0)
        assert model.witness.counts().working_peak == 4
        model.set_capacity(2)
        replies += [pool.submit(chat, model, text) for text in TEXTS[4:6]]
        counts = model.witness.wait(received=6)
        assert (counts.working_peak, counts.waiting_peak) == (4, 3)
        with pytest.raises(SettingError):
            model.set_capacity(-1)
        model.release()
        assert {reply.result().status for reply in replies} == {200}


def test_a_reset_returns_to_the_first_capacity() -> None:
    with simulated_model(Behavior(capacity=2)) as model, ThreadPoolExecutor(4) as pool:
        model.set_capacity(1)
        assert order(model, "reset")["working_peak"] == 0
        model.hold()
        replies = [pool.submit(chat, model, text) for text in TEXTS[:4]]
        assert model.witness.wait(received=4).working_peak == 2
        model.release()
        assert {reply.result().status for reply in replies} == {200}


def test_pipelined_requests_beyond_the_capacity_have_their_turn_too() -> None:
    with simulated_model(Behavior(capacity=2)) as model, dial(model) as connection:
        *texts, last = TEXTS
        connection.sendall(b"".join([*map(question, texts), question(last, "connection: close")]))
        received = connection.makefile("rb").read()
        counts = model.witness.counts()
    assert received.count(b"HTTP/1.1 200 OK") == 20
    assert (counts.working_peak, counts.waiting_peak) == (2, 18)


def enter(room: Room, witness: Witness, begin: Callable[[Ticket], None]) -> Ticket:
    ticket = witness.note_received(None)
    assert room.enter(ticket, lambda: begin(ticket))
    return ticket


def test_who_came_first_is_first_served() -> None:
    witness = Witness()
    room = Room(witness, capacity=2, over_capacity=OverCapacity.QUEUE)
    begun: list[Ticket] = []
    tickets = [enter(room, witness, begun.append) for _ in range(6)]
    assert begun == tickets[:2]
    room.leave(tickets[1])
    room.leave(tickets[3])
    room.leave(tickets[0])
    assert begun == [*tickets[:3], tickets[4]]


def test_a_long_queue_is_no_deep_recursion() -> None:
    witness = Witness()
    room = Room(witness, capacity=1, over_capacity=OverCapacity.QUEUE)
    first = enter(room, witness, lambda _: None)
    left: list[Ticket] = []

    def leave(ticket: Ticket) -> None:
        left.append(ticket)
        room.leave(ticket)

    tickets = [enter(room, witness, leave) for _ in range(5000)]
    room.leave(first)
    assert left == tickets


def test_a_bucket_holds_a_minute_s_worth_and_refills_all_the_time() -> None:
    bucket = RateBucket(60, now=100.0)
    assert [bucket.take(100.0) for _ in range(60)] == [0.0] * 60
    assert bucket.take(100.0) == pytest.approx(1.0)
    assert bucket.take(100.25) == pytest.approx(0.75)
    assert bucket.take(101.0) == 0.0
    assert bucket.take(101.0) > 0
    assert [bucket.take(1000.0) for _ in range(61)].count(0.0) == 60


@pytest.mark.parametrize("per_minute", [1, 7, 60, 999, 12_345])
def test_whoever_waits_as_long_as_told_finds_a_token(per_minute: int) -> None:
    bucket = RateBucket(per_minute, now=0.1)
    now = 0.1
    for _ in range(3 * per_minute):
        wait_s = bucket.take(now)
        if wait_s:
            now += wait_s
            assert bucket.take(now) == 0.0


def test_a_bucket_tells_its_state_as_openai_does() -> None:
    bucket = RateBucket(120, now=0.0)
    assert dict(bucket.headers(0.0)) == {
        "x-ratelimit-limit-requests": "120",
        "x-ratelimit-remaining-requests": "120",
        "x-ratelimit-reset-requests": "0s",
    }
    bucket.take(0.0)
    assert dict(bucket.headers(0.0))["x-ratelimit-reset-requests"] == "500ms"
    for _ in range(119):
        bucket.take(0.0)
    told = read_rate_limit(dict(bucket.headers(0.25)), now=0.0)
    assert told == RateLimit(requests_limit=120, requests_remaining=0, requests_reset_s=59.75)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"),
        (0.12, "120ms"),
        (0.1199, "120ms"),
        (0.9999, "1s"),
        (1.5, "1.5s"),
        (59.999, "59.999s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (86.4, "1m26.4s"),
        (3600, "1h0m0s"),
    ],
)
def test_a_duration_is_written_as_openai_does(seconds: float, written: str) -> None:
    assert duration(seconds) == written
