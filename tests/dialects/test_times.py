"""Moments."""

import pytest

from tidyllm.dialects.times import unix_seconds


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600),
        ("2026-01-01T00:00:00.123456789Z", 1_767_225_600),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600),
        ("2026-01-01T00:00:00", 1_767_225_600),
        (1_767_225_600, 1_767_225_600),
        (1_767_225_600.9, 1_767_225_600),
        ("yesterday", None),
        ("", None),
        (None, None),
        ({}, None),
    ],
)
def test_a_moment_is_read_however_it_is_written(moment: object, seconds: int | None) -> None:
    assert unix_seconds(moment) == seconds
