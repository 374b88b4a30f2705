import pytest

from tidyllm.core.batch import BatchStatus
from tidyllm.server import states
from tidyllm.server.states import MOVES, before

ORDER = [
    BatchStatus.VALIDATING,
    BatchStatus.IN_PROGRESS,
    BatchStatus.FINALIZING,
    BatchStatus.CANCELLING,
    *(status for status in BatchStatus if status.ended),
]


def test_every_state_has_its_moves() -> None:
    assert set(MOVES) == set(BatchStatus)


@pytest.mark.parametrize("status", BatchStatus)
def test_ended_states_are_those_without_a_move(status: BatchStatus) -> None:
    assert status.ended == (not MOVES[status])


def test_no_move_leads_back() -> None:
    assert [(source, target) for source in BatchStatus for target in MOVES[source] if _back(source, target)] == []


def _back(source: BatchStatus, target: BatchStatus) -> bool:
    return ORDER.index(target) <= ORDER.index(source)


@pytest.mark.parametrize("status", BatchStatus)
def test_every_batch_can_end(status: BatchStatus) -> None:
    reached, known = {status}, set[BatchStatus]()
    while reached - known:
        known = set(reached)
        reached |= {target for source in known for target in MOVES[source]}
    assert any(state.ended for state in reached)


@pytest.mark.parametrize("status", set(BatchStatus) - {BatchStatus.VALIDATING})
def test_every_state_can_be_reached(status: BatchStatus) -> None:
    assert before(status)


def test_validating_is_where_a_batch_begins() -> None:
    assert before(BatchStatus.VALIDATING) == frozenset()


@pytest.mark.parametrize("status", BatchStatus)
def test_before_is_the_table_read_from_the_other_side(status: BatchStatus) -> None:
    assert {source for source in BatchStatus if status in MOVES[source]} == before(status)


def test_cancel_comes_too_late_for_a_batch_that_is_being_finished() -> None:
    assert before(BatchStatus.CANCELLING) == {BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS}


def test_drawing_names_every_state() -> None:
    drawing = states.__doc__ or ""
    assert [word.value for word in (*BatchStatus, *states.ShardState) if word.value not in drawing] == []
