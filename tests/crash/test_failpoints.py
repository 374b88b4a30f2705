"""A server that is killed, or loses its power, after each kind of durable operation, and what holds afterwards."""

import random
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path

import pytest

from tests.crash.invariants import answers, few_are_sent_twice, nothing_is_locked, what_is_counted_is_written
from tests.crash.lossy import cut_power
from tests.crash.points import READS, Crash, reached
from tests.crash.story import Story
from tests.crash.whole import CONCURRENCY, GoneError, Home, Server, Start, serving
from tidyllm.server.store import Store
from tidyllm.server.stores.sql.engine import database_path
from tidyllm.server.stores.sql.migrate import migrate
from tidyllm.testing import Behavior, SimulatedModel, simulated_model

POINTS = (
    "disk.sync_folder beside the data",
    "disk.make_folder journals",
    "disk.sync_folder data",
    "disk.make_folder workers",
    "disk.make_folder blobs",
    "disk.make_folder blobs/kept",
    "disk.sync_folder blobs",
    "disk.make_folder blobs/incoming",
    "store.add_worker",
    "store.note_upstreams",
    "disk.create blobs/incoming",
    "disk.write blobs/incoming",
    "disk.sync blobs/incoming",
    "disk.rename blobs/kept",
    "disk.sync_folder blobs/kept",
    "store.add_file",
    "store.add_batch",
    "store.fail_batch",
    "store.start_batch",
    "store.claim_shards",
    "disk.make_folder journals/*",
    "disk.create journals/*",
    "disk.write journals/*",
    "disk.sync journals/*",
    "disk.sync_folder journals/*",
    "disk.sync_folder journals",
    "store.cancel_batch",
    "store.report",
    "store.publish",
    "disk.remove journals/*",
    "disk.remove_folder journals/*",
    "store.delete_file",
    "store.release_shards",
    "store.bury_worker",
    "store.finalize_batches",
    "disk.remove blobs/incoming",
    "disk.remove blobs/kept",
    "store.blobs_purged",
    "store.lapse_batches",
)
"""Every durable operation of the server, in the order in which the story comes to them first."""

STORIES = 7
AT_FIRST = [tuple(Crash(name) for name in POINTS[start::STORIES]) for start in range(STORIES)]
"""Each operation once, its first time. A story has several deaths, as far apart as can be, so that all takes less."""

BEFORE = [
    tuple(Crash(name, before=True) for name in names)
    for names in (
        ("store.add_file", "store.start_batch", "store.report", "store.finalize_batches"),
        ("disk.rename blobs/kept", "store.claim_shards", "store.publish", "store.blobs_purged"),
        ("store.add_batch", "store.cancel_batch", "store.release_shards", "store.lapse_batches"),
    )
]
"""Transactions that tell of what has been done on the disk, or that the disk is to follow."""

LATER = [
    (Crash("disk.write blobs/incoming", 3), Crash("disk.write journals/*", 12), Crash("store.publish", 2)),
    (Crash("disk.sync journals/*", 5), Crash("store.report"), Crash("disk.write journals/*", 5)),
    (Crash("disk.write journals/*", 6), Crash("disk.write journals/*", 6), Crash("disk.write journals/*", 8)),
    (Crash("disk.write journals/*", 8), Crash("store.report", 2), Crash("disk.rename blobs/kept")),
]
"""Deaths in the middle of the work, and while that of the life before is taken up."""

TAKEN_UP = [
    (Crash("disk.sync journals/*", 3, before=True), Crash("store.report")),
]
"""What a life has written and not synced is counted by the next. Its third sync is the first after answers came: a new
journal has two before. The first death brings the story to where a batch is to end."""


class Death(Enum):
    """How a server ends, and what of its files is left."""

    KILLED = "killed"
    POWER_CUT = "power cut"
    """What was not synced is gone, and what was removed without a sync is there again."""
    GARBAGE = "power cut that leaves some"
    """Chance decides of what was not synced."""
    KILLED_THEN_CUT = "killed, then power cut"
    """The last life goes with the power, and has to do with what those before it never synced."""


_CUTS = (Death.POWER_CUT, Death.GARBAGE)
CASES = [
    *((crashes, death) for death in (Death.KILLED, Death.POWER_CUT) for crashes in AT_FIRST),
    *((crashes, Death.KILLED) for crashes in BEFORE),
    *((crashes, Death.GARBAGE) for crashes in LATER),
    *((crashes, Death.KILLED_THEN_CUT) for crashes in TAKEN_UP),
]


def named(value: Death | tuple[Crash, ...]) -> str:
    if isinstance(value, Death):
        return value.value
    return ", ".join(f"{'before ' if crash.before else ''}{crash.name}" for crash in value)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, so that each server need not make its own."""
    folder = tmp_path_factory.mktemp("empty")
    migrate(folder)
    return database_path(folder)


@pytest.fixture
def home(tmp_path: Path, database: Path) -> Home:
    home = Home(tmp_path)
    home.data.mkdir()
    shutil.copy(database, home.data)
    return home


@pytest.fixture
def model() -> Iterator[SimulatedModel]:
    with simulated_model(Behavior(latency_ms=1)) as running:
        yield running


def play(home: Home, model: SimulatedModel, *, crashes: Sequence[Crash] = (), death: Death = Death.KILLED) -> None:
    """Play the story to its end, with these deaths of the server in their order."""
    story = Story(home, model)
    acts = list(story.acts)
    lost = 0
    while acts:
        crash = crashes[story.deaths] if story.deaths < len(crashes) else None
        stopped = live(Start(home, model.base_url, crash), acts[0])
        if stopped:
            del acts[0]
        else:
            story.server_died()
        if acts and (death in _CUTS or (death is Death.KILLED_THEN_CUT and story.deaths == len(crashes))):
            gone = lost_in_a_cut(home, random.Random(f"{crashes}"), harsh=death is Death.POWER_CUT)
            assert not (gone and stopped), f"a server stopped in good order and {gone} were not durable"
            lost += len(gone)
        what_is_counted_is_written(home.data)
    assert story.deaths == len(crashes), f"nobody came to {crashes[story.deaths]}"
    few_are_sent_twice(model.witness.keys(), crashes=story.deaths, in_flight_max=CONCURRENCY, lost=lost)
    nothing_is_locked(home.data)


def lost_in_a_cut(home: Home, rng: random.Random, *, harsh: bool) -> set[tuple[str, int]]:
    """Cut the power and return the lines whose answers went with it."""
    before = answers(home.data)
    cut_power(home.data, home.shadow, rng, harsh=harsh)
    return before - answers(home.data)


def live(start: Start, act: Callable[[Server], None]) -> bool:
    """Play an act with a server of its own; return whether both came to a good end."""
    with serving(start) as server:
        try:
            server.wait_ready()
            act(server)
            server.terminate()
        except GoneError:
            assert server.exit_code() == -signal.SIGKILL, start.home.log.read_text()
            return False
        code = server.exit_code()
    assert code == 0 or (start.crash is not None and code == -signal.SIGKILL), start.home.log.read_text()
    return code == 0


def test_the_points_are_all_that_a_server_comes_to(home: Home, model: SimulatedModel) -> None:
    play(home, model)
    found = reached(home.record)
    assert set(found) == set(POINTS), "a durable operation is new or gone: it belongs into POINTS, in its place"
    changing = {name for name, method in vars(Store).items() if callable(method) and name not in READS}
    assert {name for name in changing if not name.startswith("_")} == {
        name.removeprefix("store.") for name in found if name.startswith("store.")
    }


@pytest.mark.parametrize(("crashes", "death"), CASES, ids=named)
def test_what_was_promised_holds_after_deaths(
    home: Home, model: SimulatedModel, crashes: Sequence[Crash], death: Death
) -> None:
    play(home, model, crashes=crashes, death=death)
