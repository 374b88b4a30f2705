import json
import os
import select
import signal
from pathlib import Path

import polars as pl
import pytest

from tests.cli.conftest import Cli, started
from tests.lifecycle.fate import FAILED, VECTOR
from tests.lifecycle.mistral import FAKE
from tidyllm.client.calls import using
from tidyllm.core.clock import SystemClock
from tidyllm.testing import SimulatedModel
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

ROWS = pl.DataFrame({"text": ["good", "bad, really", 'so "so"\nla la'], "zip": ["007", None, "1"]})
ASK = ("--model", "local/m", "--prompt", "Rate: {text}")
REPLIES = [f"Simulated answer to: Rate: {text}" for text in ROWS["text"]]
TIMEOUT_S = 60


def written(name: str) -> str:
    match Path(name).suffix:
        case ".csv":
            ROWS.write_csv(name)
        case ".parquet":
            ROWS.write_parquet(name)
        case _:
            ROWS.write_ndjson(name)
    return name


def read(name: str) -> pl.DataFrame:
    match Path(name).suffix:
        case ".csv":
            return pl.read_csv(name, infer_schema=False)
        case ".parquet":
            return pl.read_parquet(name)
        case _:
            return pl.read_ndjson(name)


def objects(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def until(fd: int, word: bytes) -> bytes:
    """Read what a process says to a terminal, until it has said a word."""
    said = b""
    while word not in said:
        assert select.select([fd], [], [], TIMEOUT_S)[0], f"it never said {word!r}, but: {said!r}"
        said += os.read(fd, 65_536)
    return said


def test_a_table_in_a_whole_life(place: Path, cli: Cli) -> None:
    sent = cli("send", written("rows.csv"), *ASK, "--name", "life")
    assert (sent.code, sent.out) == (0, "life\n")
    assert sent.err.startswith("3 rows in 1 batch, batch_")
    assert cli("send", "rows.csv", *ASK, "--name", "life") == sent
    (waited,) = objects(cli("wait", "life").out)
    assert (waited["status"], waited["request_completed"]) == ("completed", 3)
    assert str(waited["created_at"]).endswith("Z")
    assert objects(cli("check", "life").out) == [waited]
    assert objects(cli("check", waited["batch_id"], "--provider", "local").out) == [waited]
    assert waited in objects(cli("list").out)
    assert len(objects(cli("list", "--provider", "local", "--limit", 1).out)) == 1
    fetched = cli("fetch", "life")
    assert (fetched.code, fetched.err) == (0, "3 rows: 3 ok\n")
    assert [row["reply"] for row in objects(fetched.out)] == REPLIES
    retried = cli("retry", "life")
    assert (retried.code, retried.out) == (0, "life\n")
    assert cli("cancel", "life").code == 1
    deleted = cli("delete", "life")
    assert deleted.code == 2
    assert deleted.err.startswith("error: local keeps its batches; ")
    assert (place / "jobs" / "life" / "job.json").exists()


@pytest.mark.parametrize("end", [".csv", ".jsonl", ".parquet"])
def test_every_form_goes_in_and_comes_out(end: str, place: Path, cli: Cli) -> None:
    for out in ("out.csv", "out.jsonl", "out.parquet"):
        ended = cli("run", written(f"rows{end}"), *ASK, "--out", out)
        assert (ended.code, ended.out) == (0, "")
        assert ended.err == f"3 rows: 3 ok; {out}\n"
        assert read(out)["reply"].to_list() == REPLIES
        assert read(out).select("text", "zip").equals(ROWS)
    assert len(list((place / "jobs").iterdir())) == 1


def test_a_run_prints_its_rows_where_no_file_is_named(place: Path, cli: Cli) -> None:
    del place
    ended = cli("run", written("rows.jsonl"), *ASK, "--system", "Zip is {text}", "--param", "temperature=0.5")
    assert [row["llm_status"] for row in objects(ended.out)] == ["ok"] * 3
    assert ended.err == "3 rows: 3 ok\n"


def test_standard_input_is_jsonl_and_the_column_prompt_is_asked(place: Path) -> None:
    del place
    lines = b'\xef\xbb\xbf{"prompt": "One {brace", "n": 1}\n\n{"prompt": "Two", "n": 2.5}\n'
    with started("run", "-", "--model", "local/m") as process:
        out, err = process.communicate(lines, TIMEOUT_S)
    assert (process.returncode, err) == (0, b"2 rows: 2 ok\n")
    rows = objects(out.decode())
    assert [row["reply"] for row in rows] == ["Simulated answer to: One {brace", "Simulated answer to: Two"]
    assert [row["n"] for row in rows] == [1.0, 2.5]


def test_a_schema_s_fields_are_columns(place: Path, cli: Cli) -> None:
    del place
    Path("schema.json").write_text('{"type": "object", "properties": {"stars": {"type": "integer"}}}')
    ended = cli("run", written("rows.csv"), *ASK, "--schema", "schema.json", "--prefix", "my_")
    assert {"my_stars", "my_llm_status"} <= objects(ended.out)[0].keys()


def test_a_dry_run_sends_nothing(place: Path, cli: Cli) -> None:
    ended = cli("send", written("rows.csv"), *ASK, "--dry-run")
    (plan,) = objects(ended.out)
    assert (plan["rows"], plan["batches"]) == (3, 1)
    assert "Rate: good" in str(plan["first_lines"])
    assert str(plan["upload"]).startswith("POST http://127.0.0.1:")
    assert not (place / "jobs").exists()


def test_what_runs_is_fetched_in_part_stopped_and_sent_again(place: Path, cli: Cli, model: SimulatedModel) -> None:
    del place
    model.hold()
    try:
        cli("send", written("rows.csv"), *ASK, "--name", "held")
        early = cli("fetch", "held", "--out", "out.csv")
        assert early.code == 1
        assert "held has not ended" in early.err
        assert "fetch what there is with partial=True." in early.err
        partial = cli("fetch", "held", "--partial")
        assert (partial.code, partial.err.splitlines()[-1]) == (0, "3 rows: 3 pending")
        model.witness.wait(received=model.witness.counts().answered + 3)
        assert objects(cli("cancel", "held").out)[0]["status"] in ("cancelling", "cancelled")
    finally:
        model.release()
    assert objects(cli("wait", "held").out)[0]["status"] == "cancelled"
    cli("fetch", "held")
    retried = cli("retry", "held")
    assert (retried.code, retried.out) == (0, "held\n")
    cli("wait", "held")
    assert cli("fetch", "held").err.splitlines()[-1] == "3 rows: 3 ok"


def test_ctrl_c_ends_the_waiting_and_says_how_to_go_on(
    place: Path, cli: Cli, model: SimulatedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    del place
    monkeypatch.setenv("TERM", "xterm")  # On a dumb one there is no bar.
    monkeypatch.setenv("COLUMNS", "200")
    ours, theirs = os.openpty()
    model.hold()
    try:
        cli("send", written("rows.csv"), *ASK, "--name", "long")
        with started("wait", "long", stderr=theirs) as process:
            until(ours, b"long: in_progress")
            process.send_signal(signal.SIGINT)
            said = until(ours, b"tidyllm batch wait long")
            assert process.wait(TIMEOUT_S) == 130
    finally:
        model.release()
        os.close(ours)
        os.close(theirs)
    assert b"stopped: " in said
    assert objects(cli("wait", "long").out)[0]["status"] == "completed"


def test_on_a_terminal_people_see_tables(place: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    del place
    monkeypatch.setenv("COLUMNS", "200")
    name = cli("run", written("rows.csv"), *ASK, "--name", "seen")
    assert name.code == 0
    ours, theirs = os.openpty()
    for words, shown in (
        (("check", "seen"), b"completed"),
        (("send", "rows.csv", *ASK, "--name", "seen", "--dry-run"), b"Rate: good"),
    ):
        with started(*words, stdout=theirs) as process:
            said = until(ours, shown)
            assert process.wait(TIMEOUT_S) == 0
        assert "│".encode() in said or "┃".encode() in said
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("send", "none.csv", *ASK), "none.csv cannot be read: No such file or directory."),
        (("send", "rows.xlsx", *ASK), "rows.xlsx: a table is a file whose name ends in .jsonl, .csv, .parquet."),
        (("send", "rows.csv", "--model", "local/m"), "rows.csv has no column 'prompt': say what to ask"),
        (("send", "rows.csv", "--model", "local/m", "--prompt", "{txt}"), "Did you mean {text}?"),
        (("send", "rows.csv", "--model", "lokal/m", "--prompt", "{text}"), "Did you mean 'local'?"),
        (
            ("send", "rows.csv", *ASK, "--param", "temperature"),
            "--param is a name and a value, as in --param temp",
        ),
        (("send", "rows.csv", *ASK, "--param", "seed=1", "--param", "seed=2"), "seed is given twice."),
        (("send", "rows.csv", *ASK, "--param", "warmth=1"), "no option 'warmth'"),
        (("send", "rows.csv", *ASK, "--param", "model=m"), "model is no parameter of a model: --model says whom"),
        (("send", "rows.csv", *ASK, "--schema", "none.json"), "none.json cannot be read"),
        (("send", "rows.csv", *ASK, "--schema", "rows.csv"), "rows.csv is no JSON Schema"),
        (("send", "rows.csv", *ASK, "--budget", "1"), "No price is known"),
        (("run", "rows.csv", *ASK, "--out", "rows.txt"), "rows.txt: a table is a file whose name ends in"),
        (("run", "rows.csv", *ASK, "--out", "none/out.csv"), "There is no folder none"),
        (("run", "rows.csv", *ASK, "--out", "rows.csv"), "rows.csv is what is sent: give --out another name."),
        (("check", "job", "--base-url", "http://127.0.0.1:1/v1"), "--base-url needs --model"),
        (("list", "--limit", "0"), "limit= must be at least 1"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_sent(words: tuple[str, ...], said: str, place: Path, cli: Cli) -> None:
    written("rows.csv")
    ended = cli(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not (place / "jobs").exists()


@pytest.mark.parametrize("verb", ["check", "wait", "fetch", "cancel", "retry", "delete"])
def test_an_unknown_job_is_told_in_one_line(verb: str, place: Path, cli: Cli) -> None:
    del place
    ended = cli(verb, "nope")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: There is no job 'nope' here.")
    assert ended.err.count("\n") == 1


def test_another_table_under_the_same_name_is_refused(place: Path, cli: Cli) -> None:
    del place
    cli("send", written("rows.csv"), *ASK, "--name", "one")
    ended = cli("send", "rows.csv", "--model", "local/m", "--prompt", "Another: {text}", "--name", "one")
    assert ended.code == 1
    assert "The job 'one' exists with other content" in ended.err


def test_vectors_are_fetched_and_csv_cannot_hold_them(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fake = FAKE(SystemClock())
    with using(Transport(sender=fake, keys=Keys("key"), retry=RetryPolicy(attempts_max=1))):
        cli("send", written("rows.csv"), "--model", "mistral", "--embed", "text", "--name", "vectors")
        (batch_id,) = fake.batches
        fake.end(batch_id, {"row-1": VECTOR([1, 2]), "row-2": VECTOR([3, 4]), "row-3": FAILED(400, "Not that.")})
        refused = cli("fetch", "vectors", "--out", "out.csv")
        assert refused.code == 2
        assert "CSV cannot hold lists or vectors, as the columns embeddings" in refused.err
        assert not (tmp_path / "out.csv").exists()
        fetched = cli("fetch", "vectors")
        assert [row["embeddings"] for row in objects(fetched.out)] == [[1, 2], [3, 4], None]
        assert fetched.err == "3 rows: 2 ok, 1 failed\n"
        assert objects(cli("delete", "vectors").out) == [{"batch_id": batch_id}]


READY = ("a", "b", "c")


def ready(name: str, url: str = "/v1/chat/completions") -> str:
    lines = [
        {
            "custom_id": one,
            "method": "POST",
            "url": url,
            "body": {"model": "m", "messages": [{"role": "user", "content": one}]},
        }
        for one in READY
    ]
    Path(name).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return name


def test_ready_made_requests_are_sent_as_they_are_and_their_results_stand_beside_them(place: Path, cli: Cli) -> None:
    ended = cli("run", ready("prompts.jsonl"))
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "prompts.output.jsonl: 3 of 3 requests\n"
    assert [line["custom_id"] for line in objects(Path("prompts.output.jsonl").read_text())] == [*READY]
    (job,) = (place / "jobs").iterdir()
    assert (job / "requests-1.jsonl").read_bytes() == Path("prompts.jsonl").read_bytes()
    table = cli("run", "prompts.jsonl", "--out", "out.csv")
    assert table.err == "3 rows: 3 ok; out.csv\n"
    assert read("out.csv")["reply"].to_list() == [f"Simulated answer to: {one}" for one in READY]
    assert cli("fetch", job.name).err == "3 rows: 3 ok\n"
    retried = cli("retry", job.name)
    assert (retried.code, retried.out) == (0, f"{job.name}\n")
    (plan,) = objects(cli("send", "prompts.jsonl", "--dry-run").out)
    assert (plan["name"], plan["rows"], plan["create"]) == (job.name, 3, None)


def test_ready_made_requests_of_standard_input_have_their_results_named_for_the_job(place: Path, cli: Cli) -> None:
    del place
    content = Path(ready("prompts.jsonl")).read_bytes()
    ended = cli("run", "-", "--name", "piped", stdin=content)
    assert (ended.code, ended.err) == (0, "piped.output.jsonl: 3 of 3 requests\n")
    assert len(objects(Path("piped.output.jsonl").read_text())) == 3


@pytest.mark.parametrize("option", ["--prompt", "--system", "--schema", "--embed", "--prefix", "--budget", "--param"])
def test_ready_made_requests_are_not_told_what_they_say_themselves(option: str, place: Path, cli: Cli) -> None:
    value = {"--budget": "1", "--param": "seed=1"}.get(option, "x")
    ended = cli("send", ready("prompts.jsonl"), option, value)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {option} does not go with prompts.jsonl")
    assert not (place / "jobs").exists()
