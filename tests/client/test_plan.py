"""A job before it is sent: what a dry run shows, and what is refused before anything is spent."""

import asyncio
from pathlib import Path

import msgspec
import polars as pl
import pytest

from tests.client.fake_api import FakeApi, refusal
from tidyllm import Model, Plan, asend_batch, openai, send_batch
from tidyllm.client.schemas import field_int, tidyllm_schema
from tidyllm.core.auth import Auth
from tidyllm.core.errors import JobChangedError, JobError, ServerError, SettingError
from tidyllm.core.limits import BatchLimits
from tidyllm.core.wire import Multipart, Repeat, Request
from tidyllm.provider import Provider

ROWS = pl.DataFrame({"text": ["one", "two"]})
MODEL = openai("m", api="chat_completions")


def limited(**limits: int) -> Model:
    every: dict[str, int] = {"requests_max": 10, "input_bytes_max": 1_000}
    model = MODEL
    provider = msgspec.structs.replace(model.provider, batch_limits=BatchLimits(**(every | limits)))
    return msgspec.structs.replace(model, provider=provider)


def test_a_dry_run_shows_what_would_go_out_and_sends_and_writes_nothing(api: FakeApi, home: Path) -> None:
    model = openai("m", api_key="sk-secret", headers={"X-Team": "hush"}, api="chat_completions")
    plan = send_batch(ROWS, model, prompt="Rate: {text}", system="Be fair.", name="reviews", dry_run=True)
    assert isinstance(plan, Plan)
    assert (plan.name, plan.rows) == ("reviews", 2)
    assert plan.first_lines[0] == (
        '{"custom_id":"row-1","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":'
        '[{"role":"system","content":"Be fair."},{"role":"user","content":"Rate: one"}]}}'
    )
    assert plan.bytes == sum(len(line) + 1 for line in plan.first_lines)
    assert (plan.batches, plan.tokens_in, plan.cost_in) == (1, plan.bytes // 4, None)
    assert plan.upload is not None
    assert plan.create is not None
    assert plan.upload.url == "https://api.openai.com/v1/files"
    assert plan.upload.repeat is Repeat.IF_NOT_SENT
    assert isinstance(plan.upload.body, Multipart)
    assert plan.upload.body.parts[1].content == home / "reviews" / "requests-1.jsonl"
    assert plan.create.repeat is Repeat.NEVER
    assert isinstance(plan.create.body, bytes)
    assert msgspec.json.decode(plan.create.body) == {
        "input_file_id": "(id of the uploaded file)",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"tidyllm_job": "reviews", "tidyllm_token": "(made when it is sent)"},
    }
    assert "secret" not in repr(plan)
    assert "hush" not in repr(plan)
    assert "X-Team" in repr(plan)
    assert api.asked == []
    assert not home.exists()


def test_a_dry_run_can_be_awaited(api: FakeApi) -> None:
    plan = asyncio.run(asend_batch(ROWS, MODEL, prompt="{text}", dry_run=True))
    assert plan == send_batch(ROWS, MODEL, prompt="{text}", dry_run=True)
    assert api.asked == []


def test_a_dry_run_of_what_was_sent_shows_that_nothing_is_left_to_do(api: FakeApi) -> None:
    api.faults_before["create"] = [refusal(503, "busy")]
    with pytest.raises(ServerError):
        send_batch(ROWS, MODEL, prompt="{text}", name="reviews")
    half = send_batch(ROWS, MODEL, prompt="{text}", name="reviews", dry_run=True)
    assert half.upload is None
    assert isinstance(half.create, Request)


def test_a_dry_run_tells_of_other_content_under_the_same_name(api: FakeApi) -> None:
    send_batch(ROWS, MODEL, prompt="{text}", name="reviews")
    done = send_batch(ROWS, MODEL, prompt="{text}", name="reviews", dry_run=True)
    assert (done.upload, done.create) == (None, None)
    with pytest.raises(JobChangedError):
        send_batch(ROWS, MODEL, prompt="{text}!", name="reviews", dry_run=True)
    assert len(api.batches) == 1


def test_rows_and_bytes_beyond_the_providers_limits_are_several_batches(api: FakeApi) -> None:
    job = send_batch(ROWS, limited(requests_max=1), prompt="{text}", name="by-rows")
    assert len(job.batch_ids) == 2
    assert len(send_batch(ROWS, limited(input_bytes_max=200), prompt="{text}", name="by-bytes").batch_ids) == 2
    assert len(send_batch(ROWS, limited(requests_max=2), prompt="{text}", name="one").batch_ids) == 1
    assert [[line["custom_id"] for line in api.lines(batch_id)] for batch_id in job.batch_ids] == [["row-1"], ["row-2"]]


def test_a_row_that_no_batch_has_room_for_is_named(api: FakeApi) -> None:
    with pytest.raises(SettingError, match=r"The request of row 1 has \d+ bytes; a batch of openai may have 50"):
        send_batch(ROWS, limited(input_bytes_max=50), prompt="{text}")
    assert api.asked == []


@pytest.mark.parametrize(
    ("data", "prompt", "message"),
    [
        (pl.DataFrame({"text": []}), "{text}", "no rows"),
        (ROWS, None, r'prompt="Explain: \{text\}"'),
        (ROWS, "{txt}", r"Did you mean \{text\}"),
        (pl.DataFrame({"text": ["a", None]}), "{text}", "Row 2 has no value in the column 'text'"),
        (pl.DataFrame({"reply": ["a"], "llm_id": ["b"]}), "{reply}", "reply, llm_id would collide"),
        (pl.DataFrame({"text": ["a"]}).lazy(), "{text}", "no table"),
        (["a", 1], None, "texts alone, not int"),
        ("one text", None, "no table"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_sent(
    api: FakeApi, home: Path, data: object, prompt: str | None, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        send_batch(data, MODEL, prompt=prompt)  # type: ignore[call-overload]
    assert api.asked == []
    assert not home.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a b", "-x", "x" * 129])
def test_a_name_that_could_lead_elsewhere_is_refused(api: FakeApi, name: str) -> None:
    if not name:
        assert send_batch(["a"], "openai/m", name=name, dry_run=True).name.startswith("openai-")
        return
    with pytest.raises(SettingError, match="name must be"):
        send_batch(["a"], MODEL, name=name)
    assert api.asked == []


def test_a_provider_without_a_default_model_asks_for_one(api: FakeApi) -> None:
    with pytest.raises(SettingError, match="name one"):
        send_batch(["a"], "local")
    assert api.asked == []


def test_a_provider_without_batches_says_who_has_them(home: Path) -> None:
    bare = Provider(name="bare", docs="", base_url="http://bare/v1", auth=Auth(env="BARE_KEY"))
    with pytest.raises(SettingError, match=r"local\(\), our own server"):
        send_batch(["a"], bare("m"))
    with pytest.raises(SettingError, match="no Files API"):
        send_batch(["a"], msgspec.structs.replace(bare, batch=openai.batch)("m"))
    with pytest.raises(SettingError, match="for embeddings alone"):
        send_batch(["a"], msgspec.structs.replace(bare, batch=openai.batch, files=openai.files)("m"))
    assert not home.exists()


def test_the_lines_of_a_batch_may_ask_by_a_schema_which_is_a_part_of_the_job(api: FakeApi) -> None:
    schema = tidyllm_schema("Stars", stars=field_int())
    free = send_batch(ROWS, MODEL, prompt="{text}", dry_run=True)
    asked = send_batch(ROWS, MODEL, prompt="{text}", schema=schema, dry_run=True)
    body = msgspec.json.decode(asked.first_lines[0])["body"]
    assert body["response_format"]["json_schema"] == {"name": "Stars", "schema": schema.definition, "strict": True}
    assert asked.name != free.name
    assert api.asked == []


def test_a_home_that_cannot_be_used_is_told(api: FakeApi, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_text("a file")
    with pytest.raises(JobError, match="TIDYLLM_HOME"):
        send_batch(ROWS, MODEL, prompt="{text}")
    monkeypatch.setenv("TIDYLLM_HOME", "/" + "x" * 5_000)
    with pytest.raises(JobError, match="TIDYLLM_HOME"):
        send_batch(ROWS, MODEL, prompt="{text}", dry_run=True)
    assert api.asked == []


def test_a_batch_is_adopted_only_where_it_could_not_be_known(api: FakeApi) -> None:
    with pytest.raises(SettingError, match="adopt= is not for openai"):
        send_batch(ROWS, MODEL, prompt="{text}", adopt="none")
    assert api.asked == []
