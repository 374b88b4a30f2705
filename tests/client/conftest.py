"""What the tests of the client share: a home for jobs, and a provider in memory that the verbs send to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.fake_api import FakeApi
from tidyllm.client.calls import using
from tidyllm.testing import ManualClock, SimulatedModel, simulated_model
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "jobs"
    monkeypatch.setenv("TIDYLLM_HOME", str(folder))
    return folder


@pytest.fixture
def model() -> Iterator[SimulatedModel]:
    with simulated_model() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def api(home: Path, clock: ManualClock) -> Iterator[FakeApi]:
    del home
    fake = FakeApi(clock)
    once = RetryPolicy(attempts_max=1)
    with using(Transport(sender=fake, keys=Keys("key"), retry=once, clock=clock)):
        yield fake
