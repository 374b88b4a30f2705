"""Whole tables through chat, against the simulated model: aligned, typed, paced, kept, and told of."""

import asyncio
import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from tests.client.tables import ANSWER, of, rows, said
from tests.transport.scripted import python
from tidyllm import LLMMessage, achat, chat, llm_message, local, openai, summary, using
from tidyllm.core.errors import (
    AuthError,
    MissingKeyError,
    PartlyFailedError,
    PermissionDeniedError,
    SettingError,
)
from tidyllm.core.wire import Request, Response
from tidyllm.testing import Behavior, SimulatedModel, simulated_model
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

pytestmark = pytest.mark.usefixtures("home")
WORDS = ("ok", "refused", "truncated", "invalid", "failed")
"""How rows end, in the order in which a run tells them."""


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame, pa.table])
def test_a_table_comes_back_as_its_own_kind_with_its_columns_untouched(model: SimulatedModel, kind: Any) -> None:
    table = kind({"text": ["a", "b", "c"], "n": [1, 2, 3]})
    rated = chat(table, of(model), prompt="Say: {text} {n}")
    assert type(rated) is type(table)
    back = pl.DataFrame(rated)
    assert back.columns[:3] == ["text", "n", "reply"]
    assert said(back) == ["Say: a 1", "Say: b 2", "Say: c 3"]
    assert back["llm_status"].to_list() == ["ok"] * 3
    assert back["llm_attempts"].to_list() == [1] * 3
    assert back["llm_model"].to_list() == ["m"] * 3


def test_rows_keep_their_order_whatever_becomes_of_them(caplog: pytest.LogCaptureFixture) -> None:
    behavior = Behavior(bad_request_rate=0.05, broken_rate=0.05, error_rate=0.03, rate_limit_rate=0.1)
    with simulated_model(behavior) as model:
        rated = chat(rows(300), of(model), prompt="{text}")
    assert [text for text in said(rated) if text is not None] == [
        text for text, status in rated.select("text", "llm_status").rows() if status == "ok"
    ]
    counts = dict(rated["llm_status"].value_counts().rows())
    assert counts.keys() == {"ok", "failed", "invalid"}
    assert all((error is None) == (status == "ok") for status, error in rated.select("llm_status", "llm_error").rows())
    assert rated["llm_attempts"].max() > 1  # type: ignore[operator]
    (told,) = [record for record in caplog.records if record.name == "tidyllm"]
    assert told.levelno == logging.WARNING
    assert f"300 rows: {counts['ok']} ok" in told.getMessage()


def test_whatever_happens_rows_come_back_aligned_each_with_its_own_end(caplog: pytest.LogCaptureFixture) -> None:
    behavior = Behavior(
        rate_limit_rate=0.1,
        retry_after_s=0.01,
        error_rate=0.03,
        broken_rate=0.02,
        decline_rate=0.01,
        truncate_rate=0.01,
        hang_rate=0.01,
    )
    with simulated_model(behavior) as model:
        rated = chat(rows(10_000), of(model, timeout_s=0.5), prompt="{text}")
    ends = dict(rated["llm_status"].value_counts().rows())
    assert ends.keys() == {"ok", "refused", "truncated", "invalid"} | ({"failed"} & ends.keys())
    # What hangs or fails is tried again, and only what does so each time fails.
    assert ends.get("failed", 0) < 100
    for word, expected in (("refused", 100), ("truncated", 100), ("invalid", 200)):
        assert 0.5 * expected < ends[word] < 1.5 * expected
    for text, status, reply in rated.select("text", "llm_status", "reply").rows():
        if status == "ok":
            assert reply == ANSWER + text
        elif status == "truncated":
            assert (ANSWER + text).startswith(reply)
        else:
            assert reply is None
    (told,) = [record.getMessage() for record in caplog.records if record.name == "tidyllm"]
    counts = ", ".join(f"{ends[word]:,} {word}" for word in WORDS if word in ends)
    assert told.endswith(f": 10,000 rows: {counts}.")


def test_rows_that_failed_say_how_often_they_were_sent_and_for_how_long(model: SimulatedModel) -> None:
    with simulated_model(Behavior(bad_request_rate=1)) as refusing:
        refused = chat(rows(3), of(refusing), prompt="{text}")
    assert refused["llm_attempts"].to_list() == [1] * 3
    assert (refused["llm_seconds"] > 0).all()
    with simulated_model(Behavior(broken_rate=1)) as broken:
        assert (chat(rows(3), of(broken), prompt="{text}")["llm_attempts"] >= 1).to_list() == [True] * 3
    model.hold()
    quick = Transport(sender=BACKGROUND, keys=Keys("k"), retry=RetryPolicy(timeouts_max=3, delay_first_s=0.001))
    with using(quick):
        silent = chat(rows(3), of(model, timeout_s=0.05), prompt="{text}")
    assert silent["llm_status"].to_list() == ["failed"] * 3
    assert silent["llm_attempts"].to_list() == [3] * 3
    assert (silent["llm_seconds"] > 0.04).all()
    assert summary(silent)["retries"].to_list() == [6]


def test_a_wrong_key_is_told_at_once_and_not_three_hundred_times() -> None:
    with simulated_model(Behavior(key="right")) as model, pytest.raises(AuthError):
        chat(rows(300), of(model, api_key="wrong"), prompt="{text}")
    assert model.witness.counts().received < 100


class Denying:
    """A model that may not answer what begins with `no`."""

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        assert isinstance(request.body, bytes)
        text = json.loads(request.body)["messages"][-1]["content"]
        if text.startswith("no"):
            return Response(status=403, body=b'{"error": {"message": "Flagged."}}')
        return Response(status=200, body=b'{"choices": [{"message": {"content": "Yes."}}]}')


def test_one_prompt_that_is_denied_is_one_row_and_many_are_the_key_s_fault() -> None:
    with using(Denying()):
        rated = chat(pl.DataFrame({"text": ["no", "yes", "no"]}), local("m"), prompt="{text}")
        with pytest.raises(PermissionDeniedError):
            chat(pl.DataFrame({"text": ["no"] * 100}), local("m"), prompt="{text}")
    assert rated["llm_status"].to_list() == ["failed", "ok", "failed"]


def test_a_table_that_is_not_there_yet_says_how_to_get_it() -> None:
    with pytest.raises(SettingError, match=r"Call \.collect\(\) on it first"):
        chat(rows(3).lazy(), local("m"), prompt="{text}")  # type: ignore[call-overload]


def test_a_missing_key_is_told_before_anything_is_sent(model: SimulatedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(MissingKeyError):
        chat(rows(3), openai(base_url=model.base_url), prompt="{text}")
    assert model.witness.counts().received == 0


@pytest.mark.parametrize("settings", [{"max_concurrency": 3}, {"max_concurrency": 200}])
def test_no_more_are_in_flight_than_allowed(settings: dict[str, Any]) -> None:
    with simulated_model(Behavior(latency_ms=20)) as model:
        chat(rows(400), of(model), prompt="{text}", **settings)
    assert model.witness.counts().in_flight_peak <= settings["max_concurrency"]


# Prompts


def test_a_prompt_may_be_a_function_and_the_system_prompt_a_template(model: SimulatedModel) -> None:
    def ask(row: Mapping[str, object]) -> str:
        return f"{row['text']}!" * int(str(row["n"]))

    assert said(chat(rows(3).tail(2), of(model), prompt=ask, system="Be {n}.")) == ["row 1!", "row 2!row 2!"]
    plan = chat(rows(3), of(model), prompt=lambda row: llm_message(str(row["n"]), system="s"), dry_run=True)
    assert [message["role"] for message in plan.first[0].body["messages"]] == ["system", "user"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("{txt}", r"asks for a column 'txt'\. The columns are: text, n\. Did you mean \{text\}"),
        (lambda row: row["none"], "function that failed at row 1: KeyError"),
        (lambda row: row["n"], "of row 1 it made int"),
        (lambda _: llm_message("a").chat, "it made method"),
        (5, "prompt= must be a text, not int"),
        ("\ud800{text}", "prompt= holds half a character"),
    ],
)
def test_a_prompt_that_does_not_go_with_the_table_is_refused(model: SimulatedModel, prompt: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        chat(rows(3), of(model), prompt=prompt)
    assert model.witness.counts().received == 0


def test_columns_that_would_collide_are_refused_and_a_prefix_helps(model: SimulatedModel) -> None:
    table = rows(2).with_columns(reply=pl.lit("mine"))
    with pytest.raises(SettingError, match=r"reply would collide.*prefix=\"new_\""):
        chat(table, of(model), prompt="{text}")
    rated = chat(table, of(model), prompt="{text}", prefix="new_")
    assert rated["reply"].to_list() == ["mine"] * 2
    assert rated["new_llm_status"].to_list() == ["ok"] * 2
    assert summary(rated, prefix="new_")["rows"].to_list() == [2]


def test_braces_in_the_data_are_data(model: SimulatedModel) -> None:
    assert said(chat(pl.DataFrame({"text": ["{n} {{x}}"]}), of(model), prompt="{text}")) == ["{n} {{x}}"]


def test_a_table_without_rows_comes_back_with_typed_columns(model: SimulatedModel) -> None:
    rated = chat(
        rows(0), of(model), prompt="{text}", schema={"type": "object", "properties": {"a": {"type": "integer"}}}
    )
    assert rated.height == 0
    assert rated.schema["a"] == pl.Int64
    assert model.witness.counts().received == 0


def test_a_function_is_called_once_for_each_row_and_no_request_waits_for_it(model: SimulatedModel) -> None:
    calls: list[tuple[object, str]] = []

    def ask(row: Mapping[str, object]) -> LLMMessage:
        calls.append((row["n"], threading.current_thread().name))
        return llm_message(f"{row['text']}\n{row['n']}", system="s")

    rated = chat(rows(50), of(model), prompt=ask, name="ratings")
    assert said(rated) == [f"row {number}\n{number}" for number in range(50)]
    assert calls == [(number, threading.current_thread().name) for number in range(50)]
    calls.clear()
    assert chat(rows(50), of(model), prompt=ask, dry_run=True).rows == 50
    assert len(calls) == 50


# Schemas


@dataclass
class Review:
    sentiment: Literal["good", "bad"]
    stars: int
    tags: list[str]
    note: str | None = None


class Echo:
    """A model that says what it was asked; it can be told to cut off, decline, or answer better the second time."""

    def __init__(self, *, finish: str = "stop", refusal: str | None = None, better: str | None = None) -> None:
        self.asked: list[list[dict[str, str]]] = []
        self._finish = finish
        self._refusal = refusal
        self._better = better

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        assert isinstance(request.body, bytes)
        messages = json.loads(request.body)["messages"]
        self.asked.append(messages)
        text = self._better if self._better and len(messages) > 1 else messages[-1]["content"]
        message = {"content": None if self._refusal else text, "refusal": self._refusal}
        body = {
            "choices": [{"message": message, "finish_reason": self._finish}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        }
        return Response(status=200, body=json.dumps(body).encode())


GOOD = '{"sentiment": "good", "stars": 5, "tags": ["a", "b"], "note": null}'
BAD = '{"sentiment": "fine", "stars": 5, "tags": []}'


def test_a_schema_s_fields_are_typed_columns_whose_types_follow_from_it_alone() -> None:
    with using(Echo()):
        rated = chat(pl.DataFrame({"text": [GOOD, BAD]}), local("m"), prompt="{text}", schema=Review)
        failed = chat(pl.DataFrame({"text": [BAD]}), local("m"), prompt="{text}", schema=Review)
    assert rated.columns[:5] == ["text", "sentiment", "stars", "tags", "note"]
    assert rated.select("sentiment", "stars", "tags").rows() == [("good", 5, ["a", "b"]), (None, None, None)]
    assert rated["llm_status"].to_list() == ["ok", "invalid"]
    assert "sentiment" in str(rated["llm_error"][1])
    assert dict(rated.schema) == dict(failed.schema)
    assert [rated.schema[name] for name in ("sentiment", "stars", "tags", "note")] == [
        pl.Enum(["bad", "good"]),
        pl.Int64,
        pl.List(pl.String),
        pl.String,
    ]


def test_a_bare_type_is_one_typed_column() -> None:
    with using(Echo()):
        rated = chat(
            pl.DataFrame({"text": ["true", '{"value": false}', "maybe"]}), local("m"), prompt="{text}", schema=bool
        )
    assert rated["reply"].to_list() == [True, False, None]
    assert rated["llm_status"].to_list() == ["ok", "ok", "invalid"]


@pytest.mark.parametrize(
    ("sender", "status"),
    [
        (Echo(finish="length"), "truncated"),
        (Echo(refusal="No."), "refused"),
        (Echo(finish="content_filter"), "refused"),
    ],
)
def test_truncated_refused_and_invalid_are_different_outcomes(sender: Echo, status: str) -> None:
    with using(sender):
        rated = chat(pl.DataFrame({"text": [GOOD]}), local("m"), prompt="{text}", schema=Review)
    assert rated["llm_status"].to_list() == [status]
    assert rated["stars"].to_list() == [None]


def test_an_invalid_answer_is_asked_for_once_more_and_both_are_counted() -> None:
    sender = Echo(better=GOOD)
    with using(sender):
        rated = chat(pl.DataFrame({"text": [BAD]}), local("m"), prompt="{text}", schema=Review, reask=True)
    assert rated["stars"].to_list() == [5]
    assert rated["llm_tokens_in"].to_list() == [20]
    assert [len(messages) for messages in sender.asked] == [1, 3]


class Tiring(Echo):
    """A model that fails where it is asked again."""

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        answer = await super().send(request, headers)
        return Response(status=400, body=b'{"error": {"message": "Tired."}}') if len(self.asked[-1]) > 1 else answer


def test_where_asking_again_fails_the_first_answer_is_kept_and_the_row_says_so() -> None:
    with using(Tiring()):
        table = pl.DataFrame({"text": [BAD, GOOD]})
        rated = chat(table, local("m"), prompt="{text}", schema=Review, reask=True, name="ratings")
        assert rated["llm_status"].to_list() == ["invalid", "ok"]
        assert "sentiment" in str(rated["llm_error"][0])
        assert "Asking again failed: " in str(rated["llm_error"][0])
        assert "Tired." in str(rated["llm_error"][0])
        assert rated["llm_tokens_in"].to_list() == [10, 10]
        assert rated["llm_attempts"].to_list() == [2, 1]
        (talk, other) = chat([BAD, GOOD], local("m"), schema=Review, reask=True)
        assert (talk.reply(), other.reply()) == (BAD, GOOD)
        with pytest.raises(PartlyFailedError, match=r"Asking again failed: .*Tired\.") as failed:
            chat(BAD, local("m"), schema=Review, reask=True)
    assert failed.value.results[0].reply() == BAD  # type: ignore[attr-defined]


def test_a_schema_whose_field_is_called_like_another_column_is_refused() -> None:
    schema = {"type": "object", "properties": {"llm_status": {"type": "string"}}}
    with using(Echo()), pytest.raises(SettingError, match="'llm_status'"):
        chat(rows(1), local("m"), prompt="{text}", schema=schema)


# Ceilings and duplicates


def test_equal_requests_are_asked_once_where_the_answer_would_be_the_same(model: SimulatedModel) -> None:
    table = pl.DataFrame({"text": ["a", "b", "a", "a", "b"]})
    rated = chat(table, of(model, temperature=0), prompt="{text}", name="ratings")
    assert said(rated) == table["text"].to_list()
    assert model.witness.counts().received == 2
    assert rated["llm_tokens_in"].is_null().to_list() == [False, False, True, True, True]
    chat(table, of(model), prompt="{text}")
    assert model.witness.counts().received == 2 + 5
    chat(table, of(model), prompt="{text}", dedup=True)
    assert model.witness.counts().received == 2 + 5 + 2
    chat(table, of(model, temperature=0), prompt="{text}", dedup=False)
    assert model.witness.counts().received == 2 + 5 + 2 + 5
    assert chat(table, of(model, temperature=0), prompt="{text}", name="ratings").equals(rated)


def test_a_budget_is_not_passed_and_what_is_left_says_so(model: SimulatedModel) -> None:
    asked = openai("gpt-4o-mini", base_url=model.base_url, api_key="k", max_tokens=100, api="chat_completions")
    rated = chat(rows(200), asked, prompt="{text}", budget=0.0005, max_concurrency=4)
    assert 0 < rated["llm_cost"].sum() <= 0.0005
    pending = rated.filter(pl.col("llm_status") == "pending")
    assert pending.height
    assert set(pending["llm_error"]) == {"The budget of 0.0005 US dollars would have been passed."}


def test_a_budget_for_what_has_no_price_is_refused(model: SimulatedModel) -> None:
    with pytest.raises(SettingError, match="No price is known"):
        chat(rows(2), of(model), prompt="{text}", budget=1)


def test_a_run_ends_when_its_time_is_up() -> None:
    with simulated_model(Behavior(hang_rate=0.2)) as model:
        rated = chat(rows(50), of(model), prompt="{text}", timeout=0.5)
    counts = dict(rated["llm_status"].value_counts().rows())
    assert counts.keys() == {"ok", "pending"}
    assert "time of 0.5 s was up" in rated.filter(pl.col("llm_status") == "pending")["llm_error"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rpm": 0}, "rpm= must be a number above 0"),
        ({"budget": float("nan")}, "budget= must be a number above 0"),
        ({"max_concurrency": 10**400}, "max_concurrency= must be a number above 0, and 1,000,000,000,000 at most"),
        ({"max_concurrency": -(10**5000)}, "max_concurrency= must be a number above 0"),
        ({"timeout": 10**400}, "An option has a value that it cannot have"),
        ({"rpm": 1e300}, "rpm= must be a number"),
        ({"tpm": 5e-324}, "tpm= must be a number"),
        ({"budget": float("inf")}, "budget= must be a number"),
        ({"prefix": "\ud800"}, "prefix= holds half a character"),
        ({"max_concurrency": "two"}, "Expected `int"),
        ({"on_error": "ignore"}, "Invalid enum value"),
        ({"speed": 1}, "no option 'speed' of a run"),
    ],
)
def test_an_option_with_a_wrong_value_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        chat(rows(1), local("m"), prompt="{text}", **options)


def test_a_list_has_no_columns_to_be_called_otherwise() -> None:
    with pytest.raises(SettingError, match="prefix= is for tables"):
        chat(["a"], local("m"), prefix="new_")


# Ends


def test_failures_can_be_raised_once_all_is_done() -> None:
    with simulated_model(Behavior(bad_request_rate=0.2)) as model, pytest.raises(PartlyFailedError) as failed:
        chat(rows(50), of(model), prompt="{text}", on_error="raise")
    (table,) = failed.value.results
    assert isinstance(table, pl.DataFrame)
    assert table.height == 50
    assert failed.value.__cause__ is not None


def test_a_dry_run_says_what_would_go_out(model: SimulatedModel) -> None:
    plan = chat(rows(100), openai("gpt-4o-mini", base_url=model.base_url, api_key="k"), prompt="{text}", dry_run=True)
    assert (plan.rows, len(plan.first)) == (100, 3)
    assert plan.bytes > 100 * 20
    assert plan.cost_in is not None
    assert plan.cost_in > 0
    assert "k" not in dict(plan.first[0].headers)["authorization"].removeprefix("Bearer ")
    assert model.witness.counts().received == 0


def test_the_async_twin_does_the_same(model: SimulatedModel) -> None:
    rated = asyncio.run(achat(rows(20), of(model), prompt="{text}", name="ratings"))
    assert rated.equals(chat(rows(20), of(model), prompt="{text}", name="ratings"))


def test_a_summary_has_a_row_for_each_kind_of_end() -> None:
    with simulated_model(Behavior(bad_request_rate=0.1, broken_rate=0.1, rate_limit_rate=0.1)) as model:
        rated = chat(rows(200), of(model), prompt="{text}")
    told = summary(rated)
    assert set(told["status"]) == {"ok", "failed", "invalid"}
    assert told["rows"].sum() == 200
    assert told["rows"].to_list() == sorted(told["rows"].to_list(), reverse=True)
    good = told.row(by_predicate=pl.col("status") == "ok", named=True)
    assert good["error"] is None
    assert good["retries"] > 0
    assert good["tokens_in"] == rated["llm_tokens_in"].sum()
    with pytest.raises(SettingError, match="no column 'llm_status'"):
        summary(rows(2))
    with pytest.raises(SettingError, match="no column 'llm_cost'"):
        summary(rated.drop("llm_cost"))


@pytest.mark.parametrize("verb", ["chat(table, mine, prompt='{t}')", "send_batch(table, mine, prompt='{t}')"])
@pytest.mark.parametrize("kind", ["pl.DataFrame", "pd.DataFrame"])
def test_a_table_is_refused_after_a_fork_and_does_not_hang(model: SimulatedModel, kind: str, verb: str) -> None:
    # Polars waited for its threads without end before the network's were missed.
    code = f"""if True:
    import os, sys, pandas as pd, polars as pl
    from tidyllm import chat, local, send_batch
    from tidyllm.errors import SettingError
    mine, table = local("m", base_url=sys.argv[1]), {kind}({{"t": ["a"]}})
    chat(table, mine, prompt="{{t}}")
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    try:
        {verb}
    except SettingError as error:
        sys.exit(0 if "forked" in str(error) else 3)
    """
    process = python(code, model.base_url)
    assert (process.returncode, process.stderr) == (0, "")
