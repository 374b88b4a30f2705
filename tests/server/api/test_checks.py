import pytest

from tidyllm.server.api.checks import check_anchor, check_range, parse_integer
from tidyllm.server.api.errors import RefusedError


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("20", 20), ("-3", -3), ("007", 7)])
def test_whole_numbers_are_read(text: str, number: int) -> None:
    assert parse_integer(text, param="limit") == number


@pytest.mark.parametrize("text", ["", " 5", "5 ", "+5", "1e3", "1_000", "0x10", "\u0665", "5\n", "9" * 5000])
def test_anything_else_is_no_integer(text: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_integer(text, param="limit")
    assert (caught.value.param, caught.value.code) == ("limit", "invalid_type")


def test_both_bounds_are_within_the_range() -> None:
    assert [check_range(value, param="p", low=1, high=3) for value in (1, 2, 3)] == [1, 2, 3]
    for value, code in ((0, "integer_below_min_value"), (4, "integer_above_max_value")):
        with pytest.raises(RefusedError) as caught:
            check_range(value, param="p", low=1, high=3)
        assert caught.value.code == code


def test_expiry_is_counted_from_creation_only() -> None:
    check_anchor("created_at", param="a")
    for anchor in (None, 5, "last_active_at"):
        with pytest.raises(RefusedError):
            check_anchor(anchor, param="a")
