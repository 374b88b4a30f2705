"""Runs that end early: what is under way then is kept, whatever ended them, and nothing stays open."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.client.tables import of, rows, said
from tidyllm import achat, chat
from tidyllm.client.run_journal import RunJournal
from tidyllm.provider import Model
from tidyllm.testing import SimulatedModel
from tidyllm.transport.concurrency import LIMIT_FIRST

pytestmark = pytest.mark.usefixtures("home")
ROWS = 40


def by_timeout(asked: Model, running: SimulatedModel) -> None:
    del running
    chat(rows(ROWS), asked, prompt="{text}", name="ratings", timeout=0.3)


def by_cancellation(asked: Model, running: SimulatedModel) -> None:
    async def main() -> None:
        run = asyncio.create_task(achat(rows(ROWS), asked, prompt="{text}", name="ratings"))
        await asyncio.to_thread(running.witness.wait, received=LIMIT_FIRST)
        run.cancel()
        with pytest.raises(asyncio.CancelledError) as stopped:
            await run
        assert "run the same line again" in stopped.value.__notes__[0]

    asyncio.run(main())


def by_ctrl_c(asked: Model, running: SimulatedModel) -> None:
    def interrupt() -> None:
        running.witness.wait(received=LIMIT_FIRST)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        chat(rows(ROWS), asked, prompt="{text}", name="ratings")
    thread.join()


def open_files(folder: Path) -> list[str]:
    """Return which files below a folder this process has open."""
    links = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(fd.readlink()))
        except FileNotFoundError:  # The one by which the folder itself is read.
            continue
    return [link for link in links if link.startswith(str(folder))]


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="This system does not tell which files are open.")
@pytest.mark.parametrize("end", [by_timeout, by_cancellation, by_ctrl_c])
def test_what_is_under_way_when_a_run_ends_is_kept_and_no_file_stays_open(
    home: Path, model: SimulatedModel, end: Callable[[Model, SimulatedModel], None]
) -> None:
    model.hold()
    end(of(model), model)
    assert open_files(home) == [str(home / "ratings" / "answers" / "000001.log")]
    model.release()
    eventually(lambda: not open_files(home))
    assert len(list(RunJournal(home / "ratings" / "answers").earlier())) == LIMIT_FIRST
    assert said(chat(rows(ROWS), of(model), prompt="{text}", name="ratings")) == rows(ROWS)["text"].to_list()
    assert model.witness.counts().received == ROWS
    assert not open_files(home)


def test_what_an_earlier_run_was_answered_is_not_asked_again_for_equal_rows(home: Path, model: SimulatedModel) -> None:
    table = pl.DataFrame({"text": ["a", "b", "a", "a", "c"]})
    model.hold()
    first = chat(table, of(model, temperature=0), prompt="{text}", name="ratings", timeout=0.3)
    assert set(first["llm_status"]) == {"pending"}
    model.release()
    eventually(lambda: len(list(RunJournal(home / "ratings" / "answers").earlier())) == 3)
    # Those whose equals were under way when the time was up were asked all over again.
    rated = chat(table, of(model, temperature=0), prompt="{text}", name="ratings")
    assert said(rated) == table["text"].to_list()
    assert rated["llm_tokens_in"].is_null().to_list() == [False, False, True, True, False]
    assert model.witness.counts().received == 3


def test_a_process_that_is_interrupted_waits_for_what_it_has_asked(tmp_path: Path, model: SimulatedModel) -> None:
    code = """
import sys
import polars as pl
from tidyllm import chat, local
rows = pl.DataFrame({"text": [f"row {n}" for n in range(40)]})
try:
    chat(rows, local("m", base_url=sys.argv[1]), prompt="{text}", name="ratings")
except KeyboardInterrupt as stop:
    print(*stop.__notes__, flush=True)
"""
    model.hold()
    command = [sys.executable, "-c", code, model.base_url]
    environment = os.environ | {"TIDYLLM_HOME": str(tmp_path / "jobs")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        model.witness.wait(received=LIMIT_FIRST)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert "run the same line again" in process.stdout.readline()
        model.release()
    assert process.returncode == 0
    assert len(list(RunJournal(tmp_path / "jobs" / "ratings" / "answers").earlier())) == LIMIT_FIRST
