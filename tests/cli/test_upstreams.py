import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.server.stores.samples import NOW, a_state
from tidyllm.cli.upstreams import rows
from tidyllm.server.records import UpstreamState
from tidyllm.server.stores.sql.engine import open_store
from tidyllm.server.stores.sql.migrate import migrate


def run(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tidyllm", "upstreams", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def note(data: Path, *states: UpstreamState) -> None:
    store = open_store(data)
    for worker_id in dict.fromkeys(state.worker_id for state in states):
        store.add_worker(worker_id, pid=1, now=NOW)
        mine = [state for state in states if state.worker_id == worker_id]
        store.note_upstreams(worker_id, mine, now=int(time.time()) - 7200)
    store.close()


def test_each_upstream_is_a_row(tmp_path: Path) -> None:
    data = tmp_path / "data"
    migrate(data)
    note(data, a_state("rack", limit_found=8), a_state("desk", state="paused"), a_state("rack", worker_id="w2"))
    ended = run(tmp_path, "--data", "data")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in ended.stdout.splitlines() if "│" in line]
    assert lines == [
        ["desk", "paused", "3", "—", "desk is paused.", "2 h ago"],
        ["rack", "open", "6", "8", "", "2 h ago"],
    ]


def test_the_folder_is_that_of_the_settings(tmp_path: Path) -> None:
    migrate(tmp_path / "ours")
    note(tmp_path / "ours", a_state("rack"))
    (tmp_path / "tidyllm.toml").write_text("[server]\ndata = 'ours'\n")
    assert "rack" in run(tmp_path).stdout


def test_where_nothing_is_known_one_line_says_so(tmp_path: Path) -> None:
    migrate(tmp_path / "data")
    ended = run(tmp_path, "--data", "data")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Nothing is known of upstreams in data: ")
    assert ended.stdout.count("\n") == 1


def test_where_no_server_has_run_one_line_says_so(tmp_path: Path) -> None:
    ended = run(tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: There is no database tidyllm-data/")
    assert ended.stderr.count("\n") == 1


def test_what_an_upstream_has_said_is_nothing_for_the_terminal_to_obey(tmp_path: Path) -> None:
    migrate(tmp_path / "data")
    note(tmp_path / "data", a_state("rack", state="[red]\x1b[31m\nopen"))
    told = run(tmp_path, "--data", "data").stdout
    assert "[red] [31m open" in told
    assert "\x1b" not in told


def test_workers_are_added_up_and_the_oldest_word_counts() -> None:
    states = [a_state("a", limit_found=8), a_state("a", limit_found=2.5, worker_id="w2"), a_state("b", state="paused")]
    assert rows(states, now=NOW + 90) == [
        ("a", "open", "6", "10.5", "", "1 min ago"),
        ("b", "paused", "3", "—", "b is paused.", "1 min ago"),
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(-2, "0 s"), (0, "0 s"), (59, "59 s"), (3599, "59 min"), (86_399, "23 h"), (200_000, "2 d")]
)
def test_ages_are_told_in_the_largest_unit_that_fits(seconds: int, words: str) -> None:
    ((*_, told),) = rows([a_state("a")], now=NOW + seconds)
    assert told == f"{words} ago"
