"""A server that is killed again and again while it is used, and all that it must have kept afterwards.

    python -m tests.crash.chaos --kills 300 --seed 1

The kills are spread over several worlds: a data folder, a server on it, a simulated model, a user who sends batches and
one who watches them. The seed decides what is done; when exactly it hits is up to the machine.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.crash.world import Kill, Outcome, Plan, World, pass_time, world

KILLS_PER_WORLD = 30
PAUSE_S = 30.0
PAUSED_LINES = 2000
LOG_LINES = 40
VIOLATION_CHARS = 3000


def chaos(home: Path, plan: Plan) -> Outcome:
    """Kill a server as planned, and return what has become of it."""
    began = time.monotonic()
    with world(home, plan) as here:
        here.supply.start()
        here.serving.wait_ready()
        for _ in range(plan.kills):
            here.wait_for_moment()
            here.kill(_whom(here.rng, plan.power_share))
            if here.violations or here.watch.violations or here.supply.failures:
                break
        outcome = here.end()
    return msgspec.structs.replace(outcome, seconds=time.monotonic() - began)


def _whom(rng: random.Random, power_share: float) -> Kill:
    if rng.random() < power_share:
        return Kill.POWER
    return rng.choice((Kill.ALL, Kill.SUPERVISOR, Kill.WORKER, Kill.OTHER, Kill.OTHER))  # The others are two.


def pause(home: Path, seed: int, *, meanwhile: Callable[[World, str], None]) -> Outcome:
    """Stop one of two workers in the middle of a batch until `meanwhile` is over, and then have it go on.

    The block is told which worker it is.
    """
    began = time.monotonic()
    with world(home, Plan(seed=seed, kills=0, workers=2)) as here:
        here.serving.wait_ready()
        here.model.hold()
        submission = here.supply.new(lines=PAUSED_LINES)
        here.supply.upload(submission)
        here.supply.create(submission)
        here.model.witness.wait(received=2 * here.slots)  # So many are in flight only if both are busy.
        pid, worker_id = min(here.serving.workers().items())
        with here.stopped(pid):
            here.model.release()
            meanwhile(here, worker_id)
        outcome = here.end()
    return msgspec.structs.replace(outcome, seconds=time.monotonic() - began)


def plans(kills: int, seed: int) -> Iterator[Plan]:
    """Yield the worlds over which the kills are spread; every third has two workers."""
    worlds = max(1, round(kills / KILLS_PER_WORLD))
    for number in range(worlds):
        share = kills * (number + 1) // worlds - kills * number // worlds
        yield Plan(seed=1000 * seed + number, kills=share, workers=2 if number % 3 == 2 else 1)


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description="Kill a batch server again and again, and see what it has kept.")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    outcomes = [_run(plan) for plan in plans(given.kills, given.seed)]
    paused = f"seed {given.seed}, a worker is paused for {PAUSE_S:g} s"
    outcomes.append(_told(paused, lambda home: pause(home, given.seed, meanwhile=_wait)))
    _say(f"in all: {_in_all(outcomes)}, {time.monotonic() - began:.0f} s")
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def _run(plan: Plan) -> Outcome:
    return _told(f"seed {plan.seed}, {plan.workers} worker(s)", lambda home: chaos(home, plan))


def _wait(here: World, paused: str) -> None:
    pass_time(PAUSE_S)
    assert here.all_done_but_of(paused), "the other worker has not gone on"


def _told(what: str, run: Callable[[Path], Outcome]) -> Outcome:
    """Run a world and print what has become of it; its folder is kept if a promise was broken."""
    home = Path(tempfile.mkdtemp(prefix="tidyllm-chaos-"))
    began = time.monotonic()
    try:
        outcome = run(home)
    except Exception:  # noqa: BLE001 - whatever it is, the seed and the folder are to be told
        outcome = Outcome(violations=[traceback.format_exc()], seconds=time.monotonic() - began)
    _say(f"{what}: {_figures(outcome)}, {outcome.seconds:.1f} s")
    if outcome.violations:
        _say("\n".join(f"  BROKEN: {violation[-VIOLATION_CHARS:]}" for violation in outcome.violations))
        _say(f"  The data folder is kept: {home / 'data'}. The server's log, {home / 'server.log'}, ends so:")
        _say("\n".join(f"    {line}" for line in _last_lines(home / "server.log")))
    else:
        shutil.rmtree(home)
    return outcome


def _figures(outcome: Outcome) -> str:
    kills = ", ".join(f"{count} {kill}" for kill, count in sorted(outcome.kills.items()))
    wasted = outcome.waste
    return (
        f"{sum(outcome.kills.values())} kills ({kills}), {outcome.batches} batches, {outcome.lines} lines, "
        f"re-sent {wasted.sent_again} of at most {outcome.bound} ({outcome.forgotten} answers forgotten by the disk), "
        f"answers unused {wasted.unused}, lines given up {wasted.given_up}"
    )


def _in_all(outcomes: list[Outcome]) -> str:
    total = Outcome()
    for outcome in outcomes:
        total = total + outcome
    return _figures(total) + f", {len(total.violations)} promises broken"


def _last_lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-LOG_LINES:] if log.exists() else []


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
