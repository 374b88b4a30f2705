"""One process of the server by itself, without the `serve` that starts it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tidyllm.core.disk import LocalDisk
from tidyllm.server.places import make_folders
from tidyllm.server.process import Orders, Role, encode_orders
from tidyllm.server.settings import Settings
from tidyllm.server.stores.sql.migrate import migrate

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
