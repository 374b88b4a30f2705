import json
from pathlib import Path

import polars as pl
import pytest

from tests.client.fake_api import FakeApi, Json, success_line
from tidyllm import Job, fetch_batch, retry_batch
from tidyllm.client.ready import is_ready, plan_ready, prepare_ready, send_ready
from tidyllm.client.send_options import SendSettings
from tidyllm.client.table_files import TableFile
from tidyllm.core.errors import JobChangedError, JobError, SettingError
from tidyllm.provider import find_provider

CHAT = "/v1/chat/completions"


def line(custom_id: str = "a", *, url: str = CHAT, **more: object) -> str:
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": custom_id}]}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body, **more})


def lines(*given: str) -> TableFile:
    return TableFile(name="p.jsonl", end=".jsonl", content="\n".join(given).encode())


def test_a_first_line_with_the_fields_of_a_request_makes_it_one_of_requests() -> None:
    assert is_ready(lines(line()))
    for other in ("", '{"prompt": "a"}', "[1]", "nonsense", '{"custom_id": 1}'):
        assert not is_ready(lines(other))
    assert not is_ready(TableFile(name="p.csv", end=".csv", content=line().encode()))


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (line("a"), "line 2 has the custom_id 'a' of an earlier one"),
        (line("b", url="/v1/embeddings"), "line 2 asks /v1/embeddings, and the first one /v1/chat/completions"),
        (line("b", method="GET"), "line 2 is no request of a batch"),
        (line("b", more=1), "line 2 is no request of a batch"),
        (line("b", body={}), "line 2 names no model in its body"),
        ("{", "line 2 is no request of a batch"),
    ],
)
def test_a_line_that_is_wrong_is_named(second: str, said: str) -> None:
    with pytest.raises(SettingError, match="line 2") as refused:
        prepare_ready(lines(line("a"), second), find_provider("openai")(), settings=SendSettings())
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("whom", "url", "said"),
    [
        ("claude", CHAT, "asks /v1/chat/completions; batches of claude ask /v1/messages"),
        ("mistral", CHAT, "those of mistral look otherwise: send a table"),
        ("voyage", "/v1/embeddings", "those of voyage look otherwise: send a table"),
        ("openai", "/v1/images", "asks /v1/images; batches of openai ask"),
        ("ollama", CHAT, "ollama has no Batch API"),
    ],
)
def test_a_provider_whose_batches_look_otherwise_is_told_of(whom: str, url: str, said: str) -> None:
    with pytest.raises(SettingError) as refused:
        prepare_ready(lines(line(url=url)), find_provider(whom)(), settings=SendSettings())
    assert said in str(refused.value)


def test_a_model_is_named_by_the_requests_alone() -> None:
    with pytest.raises(SettingError, match="which name their model: say openai"):
        prepare_ready(lines(line()), find_provider("openai")("gpt-6-luna"), settings=SendSettings())


def test_they_are_sent_once_byte_for_byte_and_planned_before(api: FakeApi, home: Path) -> None:
    model, settings = find_provider("openai")(), SendSettings(name="ready")
    odd = line("b").replace(": ", " :  ")
    ready = prepare_ready(lines(line("a"), "", odd), model, settings=settings)
    plan = plan_ready(ready)
    assert (plan.name, plan.rows, plan.batches, plan.first_lines) == ("ready", 2, 1, (line("a"), odd))
    assert plan.upload is not None
    assert plan.create is not None
    assert not home.exists()
    job = send_ready(ready)
    assert (job.rows, len(job.batch_ids)) == (2, 1)
    assert (job.folder / "requests-1.jsonl").read_text() == f"{line('a')}\n{odd}\n"
    assert send_ready(ready) == job
    assert api.asked.count("create") == 1
    assert plan_ready(ready).create is None
    with pytest.raises(JobChangedError):
        send_ready(prepare_ready(lines(line("c")), model, settings=settings))


def test_vectors_are_asked_for_as_well(api: FakeApi) -> None:
    body = {"model": "text-embedding-3-small", "input": "a"}
    file = lines(line(url="/v1/embeddings", body=body))
    job = send_ready(prepare_ready(file, find_provider("openai")(), settings=SendSettings()))
    assert "create" in api.asked
    assert len(job.batch_ids) == 1


def failed(custom_id: str, message: str = "Sorry.") -> Json:
    error = {"code": "server_error", "message": message}
    return {"id": "b", "custom_id": custom_id, "response": None, "error": error}


def sent() -> Job:
    """Send four ready-made requests; blank lines count where lines are numbered, and ids may look like ours."""
    file = lines(line("a"), "", "", line("row-1"), line("row-7").replace(": ", " :  "), line("z"))
    return send_ready(prepare_ready(file, find_provider("openai")(), settings=SendSettings(name="ready")))


def test_those_that_failed_are_sent_again_as_they_are(api: FakeApi) -> None:
    job = sent()
    _, second, *_ = api.lines()
    api.complete(output=[success_line(second)], error=[failed("a"), failed("row-7")])
    api.end(status="expired")
    retry_batch("ready")
    assert [one["custom_id"] for one in api.lines()] == ["a", "row-7", "z"]
    assert set((job.folder / "requests-2.jsonl").read_text().splitlines()) == {
        line("a"),
        line("row-7").replace(": ", " :  "),
        line("z"),
    }
    first, *rest = api.lines()
    api.complete(output=[success_line(one) for one in rest], error=[failed("a", "Again.")])
    table = fetch_batch("ready")
    assert dict(zip(table["custom_id"], table["llm_status"], strict=True)) == {
        "row-1": "ok",
        "a": "failed",
        "row-7": "ok",
        "z": "ok",
    }
    assert table.filter(pl.col("custom_id") == "a")["llm_error"].to_list() == ["Again."]
    retry_batch("ready")
    assert api.lines() == [first]
    api.complete()
    assert set(fetch_batch("ready")["llm_status"]) == {"ok"}
    assert retry_batch("ready").batch_ids == tuple(api.batches)
    assert len(api.batches) == 3


def test_each_request_has_a_row_in_the_order_of_the_file_whatever_came(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    job = sent()
    first, second, _, last = api.lines()
    api.complete(output=[success_line(last), success_line(second), success_line({**first, "custom_id": "stranger"})])
    api.end(status="expired")
    table = fetch_batch("ready")
    assert table.select("custom_id", "llm_status").rows() == [
        ("a", "expired"),
        ("row-1", "ok"),
        ("row-7", "expired"),
        ("z", "ok"),
    ]
    assert "no result line for 2 of 4 rows" in caplog.text
    (job.folder / "requests-1.jsonl").unlink()
    caplog.clear()
    assert fetch_batch("ready")["custom_id"].to_list() == ["z", "row-1", "stranger"]
    assert "the table is in the order in which results came" in caplog.text


def test_vectors_that_never_came_have_a_row_too(api: FakeApi) -> None:
    asked = [{"model": "text-embedding-3-small", "input": text} for text in ("one", "two")]
    file = lines(*(line(text, url="/v1/embeddings", body=body) for text, body in zip("ab", asked, strict=True)))
    send_ready(prepare_ready(file, find_provider("openai")(), settings=SendSettings(name="vectors")))
    api.complete(output=[], error=[failed("b")])
    table = fetch_batch("vectors")
    assert table.select("custom_id", "llm_status").rows() == [("a", "failed"), ("b", "failed")]


@pytest.mark.parametrize(
    ("content", "said"), [(b"{}\n" * 4, "is damaged"), (b"{}\n", "is damaged"), (b"", "has 0 requests")]
)
def test_what_is_left_of_their_file_is_told_and_nothing_is_sent_again(api: FakeApi, content: bytes, said: str) -> None:
    job = sent()
    api.complete(error=[failed("a")])
    (job.folder / "requests-1.jsonl").write_bytes(content)
    with pytest.raises(JobError, match=rf"requests-1\.jsonl {said}.*ut it back as it was"):
        retry_batch("ready")
    (job.folder / "requests-1.jsonl").unlink()
    with pytest.raises(JobError, match=r"requests-1\.jsonl"):
        retry_batch("ready")
    assert len(api.batches) == 1
