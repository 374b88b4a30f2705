"""`tidyllm serve` as a user has it: real processes on a free port, the official SDK, and the kills of real life."""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Protocol

import openai
import pytest
from openai.types import Batch

from tidyllm.core.errors import SettingError
from tidyllm.server.places import worker_lock
from tidyllm.server.serve import run
from tidyllm.server.settings import Settings
from tidyllm.testing import Behavior, SimulatedModel, simulated_model

DEADLINE_S = 60
IN_FLIGHT = 16


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that other processes do, and that sets no event here."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.01)


class Upstream(Protocol):
    """Whatever answers requests."""

    @property
    def base_url(self) -> str: ...


class Served:
    """A running `tidyllm serve`."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, data: Path) -> None:
        self.process = process
        self.data = data
        self.client = openai.OpenAI(base_url=url, api_key="any", max_retries=5)

    def create(self, lines: int) -> Batch:
        content = b"".join(request(n) for n in range(lines))
        file = self.client.files.create(file=("in.jsonl", BytesIO(content)), purpose="batch")
        return self.client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )

    def ended(self, batch: Batch) -> Batch:
        found: list[Batch] = []

        def over() -> bool:
            found[:] = [self.client.batches.retrieve(batch.id)]
            return found[0].status in ("completed", "failed", "expired", "cancelled")

        wait_until(over, f"the end of {batch.id}")
        return found[0]

    def ids(self, file_id: str | None) -> list[str]:
        assert file_id is not None
        return [json.loads(line)["custom_id"] for line in self.client.files.content(file_id).text.splitlines()]

    def worker_pids(self) -> list[int]:
        folder = worker_lock(self.data, "any").parent
        with contextlib.suppress(FileNotFoundError):
            return [int(lock.read_text() or 0) for lock in folder.glob("*.lock")]
        return []


def request(n: int) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": f"question {n}"}]}
    line = {"custom_id": f"row-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line).encode() + b"\n"


@contextlib.contextmanager
def serving(data: Path, model: Upstream | None, *options: str, log: Path | None = None) -> Iterator[Served]:
    command = [sys.executable, "-m", "tidyllm", "serve", "--port", "0", "--data", str(data), *options]
    environ = {**os.environ, "TIDYLLM_CONCURRENCY": str(IN_FLIGHT)}
    if model is not None:
        environ["TIDYLLM_UPSTREAM"] = model.base_url
    with (
        contextlib.nullcontext() if log is None else log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environ) as process,
    ):
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "it said where it serves"
            yield Served(process, found[0], data)
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


@pytest.fixture
def model() -> Iterator[SimulatedModel]:
    with simulated_model(Behavior(latency_ms=2)) as running:
        yield running


def test_575_lines_come_back_in_input_order(tmp_path: Path, model: SimulatedModel) -> None:
    with serving(tmp_path, model) as served:
        batch = served.ended(served.create(575))
        assert batch.status == "completed"
        assert batch.error_file_id is None
        assert batch.request_counts is not None
        assert (batch.request_counts.total, batch.request_counts.completed) == (575, 575)
        assert served.ids(batch.output_file_id) == [f"row-{n}" for n in range(575)]
    assert served.process.returncode == 0
    assert model.witness.counts().received == 575


def test_a_killed_worker_loses_nothing_and_repeats_only_what_was_in_flight(
    tmp_path: Path, model: SimulatedModel
) -> None:
    with serving(tmp_path, model) as served:
        batch = served.create(575)
        model.witness.wait(answered=100)
        model.hold()
        (pid,) = served.worker_pids()
        wait_until(lambda: model.witness.counts().in_flight == IN_FLIGHT, "all slots wait for an answer")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: served.worker_pids() not in ([pid], []), "another worker lives")
        model.release()
        ended = served.ended(batch)
        assert ended.status == "completed"
        assert served.ids(ended.output_file_id) == [f"row-{n}" for n in range(575)]
    asked = [counts.received for counts in model.witness.keys().values()]
    assert len(asked) == 575
    assert max(asked) == 2
    assert sum(asked) == 575 + IN_FLIGHT


def test_a_worker_that_cannot_be_started_now_is_started_later(tmp_path: Path, model: SimulatedModel) -> None:
    log = tmp_path / "log"
    with serving(tmp_path / "data", model, log=log) as served:
        (pid,) = served.worker_pids()
        before = resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "cannot be started: [Errno 24]" in log.read_text(), "there is no descriptor left")
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, before)
        assert served.ended(served.create(20)).status == "completed"


def test_a_killed_server_goes_on_where_it_was(tmp_path: Path, model: SimulatedModel) -> None:
    with serving(tmp_path, model) as served:
        batch = served.create(300)
        model.witness.wait(answered=50)
        model.hold()
        (pid,) = served.worker_pids()
        served.process.kill()
        model.release()
        # Its processes end with it: nobody else holds the worker's lock or asks the model.
        wait_until(lambda: not _alive(pid), "the worker ends when its parent is gone")
    with serving(tmp_path, model) as served:
        ended = served.ended(batch)
        assert served.ids(ended.output_file_id) == [f"row-{n}" for n in range(300)]
    assert model.witness.counts().received <= 300 + IN_FLIGHT


def test_a_stopped_server_asks_nothing_twice(tmp_path: Path, model: SimulatedModel) -> None:
    with serving(tmp_path, model) as served:
        batch = served.create(300)
        model.witness.wait(answered=50)
    assert served.process.returncode == 0
    with serving(tmp_path, model) as served:
        ended = served.ended(batch)
        assert served.ids(ended.output_file_id) == [f"row-{n}" for n in range(300)]
    assert model.witness.counts().received == 300


def test_a_running_batch_can_be_cancelled(tmp_path: Path, model: SimulatedModel) -> None:
    with serving(tmp_path, model) as served:
        model.hold()
        batch = served.create(300)
        model.witness.wait(received=IN_FLIGHT)
        assert served.client.batches.cancel(batch.id).status == "cancelling"
        # Released at once, a few more may be sent before the worker has heard of it: never many.
        model.release()
        ended = served.ended(batch)
        assert ended.status == "cancelled"
        assert ended.request_counts is not None
        done = served.ids(ended.output_file_id)
        never = served.ids(ended.error_file_id)
        assert len(done) == ended.request_counts.completed == model.witness.counts().received
        assert sorted(done + never) == sorted(f"row-{n}" for n in range(300))
        assert served.client.batches.cancel(batch.id).status == "cancelled"


def test_deleting_the_input_changes_nothing_for_the_batch_that_reads_it(tmp_path: Path, model: SimulatedModel) -> None:
    with serving(tmp_path, model, "--workers", "2") as served:
        model.hold()
        batch = served.create(300)
        model.witness.wait(received=IN_FLIGHT)
        served.client.files.delete(batch.input_file_id)
        with pytest.raises(openai.NotFoundError):
            served.client.files.content(batch.input_file_id)
        model.release()
        ended = served.ended(batch)
        assert (ended.status, ended.input_file_id) == ("completed", batch.input_file_id)
        assert served.ids(ended.output_file_id) == [f"row-{n}" for n in range(300)]
        blob = tmp_path / "blobs" / "kept" / batch.input_file_id
        wait_until(lambda: not blob.exists(), "its bytes go once the batch has ended")
    assert model.witness.counts().received == 300


def test_a_bad_file_fails_its_batch_with_line_numbers(tmp_path: Path, model: SimulatedModel) -> None:
    with serving(tmp_path, model) as served:
        content = request(0) + b"broken\n" + request(0)
        file = served.client.files.create(file=("in.jsonl", BytesIO(content)), purpose="batch")
        batch = served.client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        ended = served.ended(batch)
        assert ended.status == "failed"
        assert ended.errors is not None
        assert [(error.code, error.line) for error in ended.errors.data or []] == [
            ("invalid_json_line", 2),
            ("duplicate_custom_id", 3),
        ]


def test_two_workers_share_the_work(tmp_path: Path, model: SimulatedModel) -> None:
    with serving(tmp_path, model, "--workers", "2") as served:
        assert len(served.worker_pids()) == 2
        ended = served.ended(served.create(2000))
        assert served.ids(ended.output_file_id) == [f"row-{n}" for n in range(2000)]
    assert model.witness.counts().received == 2000


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux lets a process say where it runs.")
def test_each_worker_runs_on_one_processor_the_next_one_on_the_next(tmp_path: Path, model: SimulatedModel) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    with serving(tmp_path, model, "--workers", "2") as served:
        served.ended(served.create(10))  # All threads that it needs have begun.
        places = [_processors(pid) for pid in served.worker_pids()]
        assert _processors(served.process.pid) == {frozenset(allowed)}
    first, second = sorted(allowed.index(min(min(place))) for place in places)
    assert [len(place) for place in places] == [1, 1]
    assert (second - first) % len(allowed) in {1 % len(allowed), -1 % len(allowed)}


def test_the_folder_is_private_and_has_one_server(tmp_path: Path, model: SimulatedModel) -> None:
    data = tmp_path / "data"
    with serving(data, model):
        assert data.stat().st_mode & 0o777 == 0o700
        with pytest.raises(SettingError, match="Another `tidyllm serve`"):
            run(Settings(data=data, upstream=model.base_url, port=0), print)


def declare(path: Path, *names: str, models: str = "*", more: str = "") -> None:
    tables = [
        f'[[upstream]]\nname = "{name}"\nbase_url = "http://{name}/v1"\nmodels = ["{models}"]\n' for name in names
    ]
    path.write_text(more + "".join(tables))


def told(log: Path, role: str, names: str) -> int:
    """Return how many processes of a role have said that these are the upstreams now."""
    return len(re.findall(rf" {role}\[\d+\] INFO The upstreams are now: {re.escape(names)}\.", log.read_text()))


def test_upstreams_that_are_declared_anew_come_to_all_who_need_them_and_to_those_who_come_later(tmp_path: Path) -> None:
    config, log = tmp_path / "our.toml", tmp_path / "log"
    declare(config, "a")
    with serving(tmp_path / "data", None, "--config", str(config), log=log) as served:
        assert told(log, "worker", "a (http://a/v1)") == told(log, "clerk", "a (http://a/v1)") == 1
        declare(config, "b", "c", models="other*", more="[server]\nconcurrency = 3\n")
        served.process.send_signal(signal.SIGHUP)
        now = "b (http://b/v1), c (http://c/v1)"
        wait_until(lambda: told(log, "worker", now) and told(log, "clerk", now), "they are told")
        problems = served.ended(served.create(1)).errors
        assert problems is not None
        (problem,) = problems.data or []
        message = "No upstream takes the model 'm': there are b (other*), c (other*)."
        assert (problem.code, problem.message) == ("model_not_found", message)
        (pid,) = served.worker_pids()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: told(log, "worker", now) == 2, "another worker is told as it begins")
    assert "api[" not in log.read_text()


def test_upstreams_stay_as_they_are_where_the_file_is_wrong(tmp_path: Path) -> None:
    config, log = tmp_path / "our.toml", tmp_path / "log"
    declare(config, "a")
    with serving(tmp_path / "data", None, "--config", str(config), "--workers", "2", log=log) as served:
        for wrong, said in (
            ("[[upstream]]", "`name` is missing"),
            ("[[upstream]]\nname = 'b'\nbase_url = 'http://b/v1'\nmax_concurrency = 1\n", "lower `workers`"),
        ):
            config.write_text(wrong)
            served.process.send_signal(signal.SIGHUP)
            wait_until(lambda said=said: said in log.read_text(), "it is told what is wrong")  # type: ignore[misc]
        config.unlink()
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "no settings file" in log.read_text(), "it is told that the file is gone")
        os.kill(served.worker_pids()[0], signal.SIGKILL)
        wait_until(lambda: told(log, "worker", "a (http://a/v1)") == 3, "another worker begins")
        assert log.read_text().count("The upstreams stay as they are.") == 3


def test_other_settings_that_are_changed_wait_for_a_restart_and_are_named(tmp_path: Path) -> None:
    config, log = tmp_path / "our.toml", tmp_path / "log"
    declare(config, "a", more="[server]\ntick_s = 0.1\n")
    with serving(tmp_path / "data", None, "--config", str(config), log=log) as served:
        declare(config, "b", more="[server]\ntick_s = 0.3\nattempts_max = 9\n")
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: told(log, "worker", "b (http://b/v1)"), "the worker is told")
        assert log.read_text().count("restart the server to change attempts_max, tick_s.") == 1


def test_a_terminal_that_closes_ends_the_server(tmp_path: Path, model: SimulatedModel) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-m", "tidyllm", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    near, far = os.openpty()
    environ = {**os.environ, "TIDYLLM_UPSTREAM": model.base_url}
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdin=far, stdout=subprocess.PIPE, stderr=errors, env=environ) as process,
    ):
        os.close(far)
        assert process.stdout is not None
        assert b"Serving" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        names = f"default ({model.base_url})"
        wait_until(lambda: told(log, "worker", names) == 2, "as long as it is open, the file is read again")
        os.close(near)
        process.send_signal(signal.SIGHUP)
        assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(host="0.0.0.0"), "no keys yet"),  # noqa: S104 - to see it refused
        (Settings(host="example.org"), "not an IP address"),
        (Settings(upstream="127.0.0.1:8000"), "The upstream 'default' must be like"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: Settings, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        run(settings, print)


def test_a_data_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("something of mine")
    with pytest.raises(SettingError, match="--data"):
        run(Settings(data=file), print)


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tidyllm.sqlite3").write_text("something of mine " * 100)
    with pytest.raises(SettingError, match="not a database"):
        run(Settings(data=tmp_path), print)


def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDYLLM_UPSTREAM_KEY", "schlüssel")
    with pytest.raises(SettingError) as refused:
        run(Settings(upstream="http://127.0.0.1:1/v1"), print)
    assert "'default', TIDYLLM_UPSTREAM_KEY" in str(refused.value)
    assert "schl" not in str(refused.value)


def test_a_port_in_use_is_refused_with_advice(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingError, match="--port"):
        run(Settings(data=tmp_path, port=taken.getsockname()[1]), print)


def _processors(pid: int) -> set[frozenset[int]]:
    """Return where the threads of a process may run."""
    threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    return {frozenset(os.sched_getaffinity(thread)) for thread in threads}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
