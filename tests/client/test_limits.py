"""What providers have said of their limits."""

from datetime import UTC, datetime

import polars as pl
import pytest

from tidyllm import chat, local, openai, rate_limit_info, using
from tidyllm.core.errors import SettingError
from tidyllm.core.wire import Request, Response
from tidyllm.testing import ManualClock
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys

COLUMNS = {
    "provider": pl.String(),
    "model": pl.String(),
    "base_url": pl.String(),
    "told_at": pl.Datetime("us", "UTC"),
    "requests_limit": pl.Int64(),
    "requests_remaining": pl.Int64(),
    "requests_reset_at": pl.Datetime("us", "UTC"),
    "tokens_limit": pl.Int64(),
    "tokens_remaining": pl.Int64(),
    "tokens_reset_at": pl.Datetime("us", "UTC"),
}


class Telling:
    """Answers anything, and tells of its limits."""

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del request, headers
        told = {"x-ratelimit-limit-requests": "60", "x-ratelimit-reset-requests": "2s"}
        return Response(status=200, headers=told, body=b'{"choices": [{"message": {"content": "Hello."}}]}')


def test_the_last_answers_are_told_as_a_table() -> None:
    clock = ManualClock()
    with using(Transport(sender=Telling(), keys=Keys("key"), clock=clock)):
        assert dict(rate_limit_info().schema) == COLUMNS
        assert rate_limit_info().height == 0
        chat("Hi", local("a/b"))
        chat("Hi", openai("m", api="chat_completions"))
        table = rate_limit_info()
        assert dict(table.schema) == COLUMNS
        assert table["model"].to_list() == ["a/b", "m"]
        (row,) = rate_limit_info("local").rows(named=True)
        assert rate_limit_info("local/a/b").equals(rate_limit_info(local("a/b")))
        assert (rate_limit_info("local/a/b").height, rate_limit_info("local/c").height) == (1, 0)
        with pytest.raises(SettingError, match="Did you mean 'openai'"):
            rate_limit_info("opanai")
    assert (row["provider"], row["requests_limit"], row["tokens_limit"]) == ("local", 60, None)
    assert row["told_at"] == datetime.fromtimestamp(clock.now(), UTC)
    assert (row["requests_reset_at"] - row["told_at"]).total_seconds() == 2.0
