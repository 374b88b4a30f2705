"""What a model answered, and how the row that asked ended."""

import pytest

from tidyllm.core.reply import Outcome, Reply


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(text="Hi", finish="stop"), Outcome.OK),
        (Reply(text="Hi", finish="a word of tomorrow"), Outcome.OK),
        (Reply(text="H", finish="length"), Outcome.TRUNCATED),
        (Reply(text="H", finish="insufficient_system_resource"), Outcome.TRUNCATED),
        (Reply(text="H", finish="abort"), Outcome.TRUNCATED),
        (Reply(refusal="No.", finish="stop"), Outcome.REFUSED),
        (Reply(text="H", finish="content_filter"), Outcome.REFUSED),
        (Reply(finish="tool_calls"), Outcome.INVALID),
    ],
)
def test_the_outcome_follows_from_the_reply(reply: Reply, outcome: Outcome) -> None:
    assert reply.outcome is outcome


def test_a_reply_shows_what_is_known_and_not_its_raw_body() -> None:
    reply = Reply(text="Hi", tokens_in=0, body=b'{"a": "long story"}')
    assert repr(reply) == "Reply(text='Hi', tokens_in=0)"
