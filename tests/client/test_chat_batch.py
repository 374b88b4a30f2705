"""A table through chat as a batch, and what fails there asked at once."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pytest

import tidyllm as tl
from tests.client.fake_api import Json
from tests.lifecycle.clock import HastyClock
from tests.lifecycle.fate import FAILED, OK
from tests.lifecycle.openai import FAKE
from tidyllm import Plan, achat, chat, openai
from tidyllm.client.calls import using
from tidyllm.core.errors import PartlyFailedError, SettingError
from tidyllm.core.wire import Request, Response
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

ROWS = pl.DataFrame({"text": ["one", "two", "three"]})
MODEL = openai("gpt-5", api="chat_completions")


class Provider(FAKE):
    """Answers a batch as soon as somebody looks at it, all but its second row; and what is asked at once."""

    def __init__(self) -> None:
        super().__init__(HastyClock())
        self.asked_now: list[Json] = []

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        if request.url.endswith("/chat/completions"):
            assert isinstance(request.body, bytes)
            self.asked_now.append(json.loads(request.body))
            return _answer_now()
        for batch_id, kept in self.batches.items():
            if request.method == "GET" and kept.status == "in_progress":
                ids = [custom_id for custom_id, _ in kept.requests]
                fates = {name: FAILED(500, "Sorry.") if name == "row-2" else OK(name.upper()) for name in ids}
                self.end(batch_id, fates)
        return await super().send(request, headers)


def _answer_now() -> Response:
    message = {"role": "assistant", "content": "now", "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9}
    body = {"id": "c", "model": "gpt-5", "choices": [choice], "usage": usage}
    return Response(status=200, body=json.dumps(body).encode())


@pytest.fixture
def provider(home: Path) -> Iterator[Provider]:
    del home
    fake = Provider()
    once = RetryPolicy(attempts_max=1)
    with using(Transport(sender=fake, keys=Keys("key"), retry=once, clock=fake.clock)):
        yield fake


def test_a_table_is_answered_by_a_batch(provider: Provider) -> None:
    table = chat(ROWS, MODEL, prompt="Say {text}", mode="batch", name="said")
    assert table["text"].to_list() == ["one", "two", "three"]
    assert table["reply"].to_list() == ["ROW-1", None, "ROW-3"]
    assert table["llm_status"].to_list() == ["ok", "failed", "ok"]
    assert provider.asked_now == []
    # The second time it comes from the disk, and it is the job that the verbs for batches know.
    assert chat(ROWS, MODEL, prompt="Say {text}", mode="batch", name="said").equals(table)
    assert tl.fetch_batch("said").equals(table)
    assert len(provider.batches) == 1


def test_what_failed_in_the_batch_is_asked_at_once(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tidyllm"):
        table = chat(ROWS, MODEL, prompt="Say {text}", mode="auto", name="said")
    assert table["reply"].to_list() == ["ROW-1", "now", "ROW-3"]
    assert table["llm_status"].to_list() == ["ok"] * 3
    assert [one["messages"] for one in provider.asked_now] == [[{"role": "user", "content": "Say two"}]]
    assert "said: 3 rows: 3 ok." in caplog.messages
    # What was answered at once is kept as well.
    assert (
        chat(ROWS, MODEL, prompt="Say {text}", mode="auto", name="said")["reply"].to_list() == table["reply"].to_list()
    )
    assert len(provider.asked_now) == 1


def test_it_can_be_awaited_and_a_table_stays_what_it_is(provider: Provider) -> None:
    rows = pd.DataFrame({"text": ["one", "two", "three"]}, index=[7, 8, 9])
    table = asyncio.run(achat(rows, MODEL, prompt="Say {text}", mode="auto"))
    assert list(table.index) == [7, 8, 9]
    assert table["reply"].to_list() == ["ROW-1", "now", "ROW-3"]
    assert len(provider.batches) == 1


def test_a_spent_budget_leaves_what_failed_as_it_is(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    model = openai("gpt-5", api="chat_completions", max_tokens=1)
    with pytest.raises(SettingError, match=r"3 rows may cost \$.*, more than budget=1e-07"):
        chat(ROWS, model, prompt="Say {text}", mode="auto", budget=1e-7)
    assert provider.asked == []
    chat(ROWS, model, prompt="Say {text}", mode="auto", budget=1.0)
    assert "rows that failed are not asked again" not in caplog.text
    assert len(provider.asked_now) == 1


def test_a_failure_may_be_an_exception_and_the_table_is_in_it(provider: Provider) -> None:
    with pytest.raises(PartlyFailedError, match="3 rows: 2 ok, 1 failed") as caught:
        chat(ROWS, MODEL, prompt="Say {text}", mode="batch", on_error="raise")
    (table,) = caught.value.results
    assert isinstance(table, pl.DataFrame)
    assert table["llm_status"].to_list() == ["ok", "failed", "ok"]
    assert len(provider.batches) == 1


def test_a_dry_run_shows_the_batch(provider: Provider) -> None:
    plan: object = chat(ROWS, MODEL, prompt="Say {text}", mode="batch", dry_run=True)
    assert isinstance(plan, Plan)
    assert (plan.rows, plan.batches) == (3, 1)
    assert plan.cost_in is not None
    assert provider.asked == []


def test_what_a_batch_cannot_be_told_is_refused(provider: Provider) -> None:
    with pytest.raises(SettingError, match="rpm= is for rows that are asked now"):
        chat(ROWS, MODEL, prompt="Say {text}", mode="batch", rpm=5)
    with pytest.raises(SettingError, match="reask= is for rows that are asked now"):
        chat(ROWS, MODEL, prompt="Say {text}", mode="batch", schema=bool, reask=True)
    with pytest.raises(SettingError, match="mode= is for tables"):
        chat(["one"], MODEL, mode="batch")
    with pytest.raises(SettingError, match="no Batch API"):
        chat(ROWS, tl.deepseek(), prompt="Say {text}", mode="batch")
    assert provider.asked == []
