import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def may_mount(folder: Path) -> bool:
    """Whether this system lets us mount a disk of our own; some containers do not."""
    command = [*NAMESPACE, "mount", "-t", "tmpfs", "none", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_a_disk_that_fills_up_in_mid_batch_costs_nothing_once_there_is_space(tmp_path: Path) -> None:
    if not may_mount(tmp_path):
        pytest.skip(
            "this system does not let us mount a disk; tests/server/loops/test_trouble.py has one that pretends"
        )
    command = [*NAMESPACE, sys.executable, "-m", "tests.crash.full_disk", str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    done = subprocess.run(command, cwd=ROOT, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "all were answered once" in done.stdout
