import signal

import pytest

from tidyllm.server.words import as_sentence, how_it_ended


@pytest.mark.parametrize("text", ["Is it up?", "No space left.", "Stop!"])
def test_a_sentence_that_ends_stays_as_it_is(text: str) -> None:
    assert as_sentence(ValueError(text)) == text


def test_what_has_no_end_gets_one() -> None:
    assert as_sentence(OSError(28, "No space left on device")) == "[Errno 28] No space left on device."


def test_a_signal_is_named() -> None:
    assert [how_it_ended(code) for code in (1, -signal.SIGKILL)] == ["with exit code 1", "by SIGKILL"]
