import threading

import pytest

from tidyllm.testing.witness import KEYS_MAX, Counts, KeyCounts, Witness, request_key


def test_every_request_is_counted_until_its_end() -> None:
    witness = Witness()
    tickets = [witness.note_received(key) for key in ("a", "b", "a", None)]
    witness.note_answered(tickets[0], 500, broken=False)
    witness.note_answered(tickets[2], 200, broken=False)
    witness.note_abandoned(tickets[1])
    assert witness.counts() == Counts(
        received=4,
        answered=2,
        abandoned=1,
        in_flight=1,
        in_flight_peak=4,
        working_peak=0,
        waiting_peak=0,
        statuses={200: 1, 500: 1},
        broken=0,
        unkeyed=1,
    )
    assert witness.keys() == {
        "a": KeyCounts(received=2, answered=2, ok=1),
        "b": KeyCounts(received=1, answered=0, ok=0),
    }


def test_a_broken_answer_is_an_answer_and_not_a_good_one() -> None:
    witness = Witness()
    witness.note_answered(witness.note_received("a"), 200, broken=True)
    assert witness.counts().broken == 1
    assert witness.keys() == {"a": KeyCounts(received=1, answered=1, ok=0)}


def test_a_reset_leaves_out_what_was_in_flight() -> None:
    witness = Witness()
    ticket = witness.note_received("a")
    witness.reset()
    witness.note_answered(ticket, 200, broken=False)
    assert witness.counts() == Witness().counts()
    assert witness.keys() == {}


def test_waiting_ends_with_the_request_that_was_waited_for() -> None:
    witness = Witness()
    seen: list[Counts] = []
    thread = threading.Thread(target=lambda: seen.append(witness.wait(received=2, answered=1)))
    thread.start()
    first = witness.note_received("a")
    witness.note_received("b")
    witness.note_answered(first, 200, broken=False)
    thread.join(10)
    assert [(counts.received, counts.answered) for counts in seen] == [(2, 1)]


def test_waiting_in_vain_ends_with_the_counts() -> None:
    witness = Witness()
    with pytest.raises(TimeoutError, match="received=0"):
        witness.wait(received=1, timeout_s=0.01)
    assert not witness._waiters


def test_a_forgotten_wish_is_not_granted() -> None:
    witness = Witness()
    called: list[str] = []
    forget = witness.when(lambda: called.append("forgotten"), received=1)
    witness.when(lambda: called.append("kept"), received=1)
    forget()
    witness.note_received("a")
    witness.when(lambda: called.append("at once"), received=1)
    witness.note_received("a")
    assert called == ["kept", "at once"]


def test_a_short_text_is_its_own_key() -> None:
    assert request_key("x" * 200) == "x" * 200


def test_a_long_text_has_a_short_key_that_no_other_has() -> None:
    one, other = request_key("x" * 1000), request_key("x" * 1001)
    assert len(one) == len(other) == 200
    assert one != other


def test_keys_beyond_the_limit_are_counted_in_total() -> None:
    witness = Witness()
    known = [1, 0, 0]
    witness._tally.keys = {str(number): known for number in range(KEYS_MAX)}
    witness.note_received("new")
    witness.note_received("7")
    assert (witness.counts().received, witness.counts().unkeyed) == (2, 1)
