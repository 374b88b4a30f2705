"""What Batch APIs share: words for states, and problems however they are told."""

import pytest

from tidyllm.core.batch import BatchStatus, Problem
from tidyllm.dialects.batches import end_moment, known_status, read_problems


def test_a_word_that_is_known_is_a_status() -> None:
    assert known_status("expired") == (BatchStatus.EXPIRED, None)
    assert known_status("DONE", {"DONE": BatchStatus.COMPLETED}) == (BatchStatus.COMPLETED, None)


def test_a_word_of_tomorrow_is_kept_and_is_no_end() -> None:
    assert known_status("archived") == (BatchStatus.IN_PROGRESS, "archived")


def test_only_an_end_has_a_moment() -> None:
    assert end_moment(BatchStatus.EXPIRED, 7) == {"expired_at": 7}
    assert end_moment(BatchStatus.CANCELLING, 7) == {}


WRONG = Problem(code="invalid_url", message="Wrong.", param="url", line=2)


@pytest.mark.parametrize(
    ("told", "problems"),
    [
        (None, ()),
        ("", ()),
        ({}, ()),
        ([], ()),
        ({"object": "list", "data": None}, ()),
        ({"data": [{"code": "invalid_url", "message": "Wrong.", "param": "url", "line": 2}]}, (WRONG,)),
        ([{"code": "invalid_url", "message": "Wrong.", "param": "url", "line": 2}], (WRONG,)),
        ([{"message": "Wrong.", "count": 3}, "Oops"], tuple(Problem(code="", message=m) for m in ("Wrong.", "Oops"))),
        ({"code": 400, "message": "Wrong.", "line": "2"}, (Problem(code="400", message="Wrong."),)),
        ("Oops", (Problem(code="", message="Oops"),)),
    ],
)
def test_problems_are_read_however_they_are_told(told: object, problems: tuple[Problem, ...]) -> None:
    assert read_problems(told) == problems
