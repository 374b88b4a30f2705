"""A short piece of what `make chaos` does at length: kills, power cuts, and a worker that stands still."""

from pathlib import Path

from tests.crash.chaos import chaos, pause
from tests.crash.world import Plan, World, until


def test_a_killed_server_keeps_its_promises(tmp_path: Path) -> None:
    outcome = chaos(tmp_path, Plan(seed=1, kills=6, power_share=0.0))
    assert outcome.violations == []
    assert sum(outcome.kills.values()) == 6


def test_a_server_without_power_keeps_its_promises(tmp_path: Path) -> None:
    outcome = chaos(tmp_path, Plan(seed=2, kills=4, power_share=1.0))
    assert outcome.violations == []
    assert outcome.kills == {"power": 4}


def test_a_worker_that_stands_still_loses_nothing_and_holds_up_nobody(tmp_path: Path) -> None:
    def others_finish(here: World, paused: str) -> None:
        until(lambda: here.all_done_but_of(paused), "the other worker does all the rest")

    outcome = pause(tmp_path, 3, meanwhile=others_finish)
    assert outcome.violations == []
    assert (outcome.batches, outcome.waste.sent_again, outcome.waste.unused) == (1, 0, 0)
