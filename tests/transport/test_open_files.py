"""Runs where the system lets a process have few files open, each connection being one."""

from collections.abc import Iterator

import pytest

from tests.transport.scripted import python
from tidyllm.testing import Behavior, SimulatedModel, simulated_model
from tidyllm.transport.open_files import OPEN_FILES

RUN = """if True:
    import resource, sys
    soft, hard = (int(number) for number in sys.argv[2:])
    before = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    hard = before if hard < 0 else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    import polars as pl
    from tidyllm import chat, local
    table = pl.DataFrame({"n": range(2_000)})
    rated = chat(table, local("m", base_url=sys.argv[1]), prompt="{n}")
    assert (rated["llm_status"] == "ok").all(), rated["llm_error"].drop_nulls()
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard)
"""


@pytest.fixture
def model() -> Iterator[SimulatedModel]:
    with simulated_model(Behavior(latency_ms=20)) as running:
        yield running


def test_as_many_are_asked_for_as_a_run_may_need(model: SimulatedModel) -> None:
    # The shells of macOS give 256: the connections took all, polars could open nothing, and the answers were lost.
    told = python(RUN, model.base_url, "64", "-1")
    soft, hard = (int(number) for number in told.stdout.split())
    assert (told.stderr, soft) == ("", OPEN_FILES if hard < 0 else min(OPEN_FILES, hard))


def test_with_few_files_few_requests_are_under_way(model: SimulatedModel) -> None:
    told = python(RUN, model.base_url, "64", "64")
    assert (told.stdout, told.stderr) == ("64 64\n", "")
