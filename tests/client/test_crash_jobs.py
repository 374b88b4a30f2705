"""Jobs whose process is killed, at any step of it: the same script again gives one job and one bill."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.crash_jobs import CASES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("case", CASES)
def test_a_script_killed_at_any_step_and_run_again_comes_to_what_it_comes_to_undisturbed(
    case: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.client.crash_jobs", str(tmp_path), case],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    undisturbed, *outcomes = json.loads(done.stdout)
    assert set(undisturbed["status"]) == {"ok"}
    assert len(outcomes) > 25
    assert {step: outcome for step, outcome in enumerate(outcomes, 1) if outcome != undisturbed} == {}, done.stderr
