"""One process of the server by itself, without the `serve` that starts it."""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tidyllm.core.disk import LocalDisk
from tidyllm.server.child import READY
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.places import make_folders
from tidyllm.server.process import Orders, Role, encode_orders, encode_upstreams
from tidyllm.server.settings import Settings
from tidyllm.server.stores.sql.migrate import migrate
from tidyllm.transport.open_files import OPEN_FILES

DEADLINE_S = 60


@pytest.mark.parametrize("role", [Role.CLERK, Role.WORKER])
def test_a_process_whose_parent_is_gone_before_it_is_ready_ends_in_good_order(tmp_path: Path, role: Role) -> None:
    # Found by kills: it met a broken pipe when it said that it was ready, and died of it with a traceback.
    make_folders(tmp_path, LocalDisk())
    migrate(tmp_path)
    command = [sys.executable, "-m", "tidyllm.server.child"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(encode_orders(Orders(role=role, settings=Settings(data=tmp_path), socket_fds=())))
        process.stdin.close()
        said = process.stderr.read().decode()
        assert process.wait(DEADLINE_S) == 0, said
    assert "Traceback" not in said


def test_a_process_may_have_more_files_open_than_systems_allow_unless_asked(tmp_path: Path) -> None:
    # Found with 1,500 small batches and no upstream: each has a journal, and the limit is 1024 on most machines.
    make_folders(tmp_path, LocalDisk())
    migrate(tmp_path)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    command = ["sh", "-c", 'ulimit -S -n 256 && exec "$@"', "sh", sys.executable, "-m", "tidyllm.server.child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(orders_for(tmp_path))
        process.stdin.flush()
        assert process.stdout.readline() == READY
        soft = int(Path(f"/proc/{process.pid}/limits").read_text().partition("Max open files")[2].split()[0])
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0
    assert soft == (OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard))


@pytest.fixture
def clerk(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that waits for its orders, as a clerk; it must end in good order."""
    make_folders(tmp_path, LocalDisk())
    migrate(tmp_path)
    command = [sys.executable, "-m", "tidyllm.server.child"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        yield process
        assert process.wait(DEADLINE_S) == 0


def declared(name: str) -> bytes:
    return encode_upstreams((UpstreamSettings(name=name, base_url=f"http://{name}/v1"),))


def orders_for(data: Path) -> bytes:
    return encode_orders(Orders(role=Role.CLERK, settings=Settings(data=data, upstream="http://x/v1"), socket_fds=()))


def writer(process: "subprocess.Popen[bytes]") -> Callable[[bytes], None]:
    assert process.stdin is not None
    pipe: IO[bytes] = process.stdin

    def write(data: bytes) -> None:
        pipe.write(data)
        pipe.flush()

    return write


def next_told(process: "subprocess.Popen[bytes]") -> str:
    """Wait until the process says what its upstreams are now."""
    assert process.stderr is not None
    for line in process.stderr:
        if b"upstreams are now: " in line:
            return line.decode().partition("now: ")[2].strip()
    raise AssertionError("It said nothing.")


def test_new_upstreams_come_in_lines_whatever_the_pieces(tmp_path: Path, clerk: "subprocess.Popen[bytes]") -> None:
    write = writer(clerk)
    write(orders_for(tmp_path))
    assert next_told(clerk) == "default (http://x/v1)."
    write(declared("a") + declared("b")[:20])
    assert next_told(clerk) == "a (http://a/v1)."
    write(declared("b")[20:] + declared("c") + b"[{")
    assert next_told(clerk) == "b (http://b/v1)."
    assert next_told(clerk) == "c (http://c/v1)."
    assert clerk.stdin is not None
    clerk.stdin.close()


def test_orders_that_come_in_pieces_are_waited_for(tmp_path: Path, clerk: "subprocess.Popen[bytes]") -> None:
    write = writer(clerk)
    for start in range(0, len(orders_for(tmp_path)), 100):
        write(orders_for(tmp_path)[start : start + 100])
    assert next_told(clerk) == "default (http://x/v1)."
    assert clerk.stdin is not None
    clerk.stdin.close()


def test_of_upstreams_that_came_with_the_orders_the_last_count(
    tmp_path: Path, clerk: "subprocess.Popen[bytes]"
) -> None:
    write = writer(clerk)
    write(orders_for(tmp_path) + declared("a") + declared("b"))
    assert next_told(clerk) == "b (http://b/v1)."
    assert clerk.stdin is not None
    clerk.stdin.close()


def test_a_process_that_never_gets_orders_ends(clerk: "subprocess.Popen[bytes]") -> None:
    assert clerk.stdin is not None
    assert clerk.stderr is not None
    clerk.stdin.close()
    assert clerk.stderr.read() == b""
