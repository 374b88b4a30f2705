"""Which upstream is asked for a model."""

import math
import random
from collections.abc import Sequence

import msgspec

from tidyllm.core.wire import Request, Response
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.health import State
from tidyllm.server.settings import Settings
from tidyllm.server.upstream import Upstream
from tidyllm.server.upstreams import Upstreams
from tidyllm.testing import ManualClock


class Silent:
    """A sender that is never asked."""

    async def send(self, request: Request, headers: Sequence[tuple[str, str]] = ()) -> Response:
        raise AssertionError(request, headers)


class Declared:
    """Upstreams that are declared, and can be declared anew."""

    def __init__(self, *declared: UpstreamSettings) -> None:
        self.now = declared
        self.clock = ManualClock()
        self.upstreams = Upstreams(lambda: self.now, self.made)

    def made(self, one: UpstreamSettings) -> Upstream:
        return Upstream(
            one, sender=Silent(), headers=(), clock=self.clock, rng=random.Random(1), settings=Settings(concurrency=4)
        )

    def asked(self, model: str) -> str | None:
        upstream = self.upstreams.way(model, now=self.clock.monotonic()).upstream
        if upstream is None:
            return None
        upstream.pace.began(now=self.clock.monotonic())
        return upstream.declared.name


def declared(name: str, *models: str, most: int | None = None) -> UpstreamSettings:
    return UpstreamSettings(name=name, base_url=f"http://{name}/v1", models=models or ("*",), max_concurrency=most)


def test_of_several_for_a_model_the_one_with_the_least_to_do_is_asked() -> None:
    house = Declared(declared("a", "m"), declared("b", "m*", most=2), declared("c", "n"))
    asked = [house.asked("m") for _ in range(7)]
    assert sorted(name or "" for name in asked) == ["", "a", "a", "a", "a", "b", "b"]
    assert asked[:2] in (["a", "b"], ["b", "a"])
    assert house.asked("n") == "c"
    assert house.upstreams.takes(within_s=1) == 4 + 2 + 4


def test_a_model_that_nobody_answers_for_waits() -> None:
    house = Declared(declared("a", "m"))
    way = house.upstreams.way("x", now=0.0)
    assert (way.upstream, way.wait_s) == (None, math.inf)


def test_what_is_declared_anew_goes_on_where_it_is_the_same_place() -> None:
    house = Declared(declared("a"), declared("b"))
    a, b = house.upstreams.all
    a.health.fell(State.PAUSED, "it answers 401", now=house.clock.monotonic())
    assert house.asked("m") == "b"
    house.now = (declared("a", "m", most=1), declared("c"))
    house.upstreams.refresh()
    assert house.upstreams.all[0] is a
    assert b not in house.upstreams.all
    assert a.pace.ceilings.concurrency == 1
    # It is tried at once: somebody may have put it right.
    assert a.wait_s("m", now=house.clock.monotonic()) == 0
    assert house.asked("x") == "c"


def test_a_way_says_how_many_may_go_it_and_is_looked_for_each_time_where_that_is_not_known() -> None:
    house = Declared(declared("a", "m*"), declared("b", "n"), declared("c", "n"))
    assert house.upstreams.way("m", now=0.0).room == 4
    assert house.asked("m2") == "a"
    assert house.upstreams.way("m", now=0.0).room == 3
    assert house.upstreams.way("n", now=0.0).room == 1  # The next may be for the other one.
    house.now = (msgspec.structs.replace(declared("a", "m*"), rpm=600), declared("b", "n"))
    house.upstreams.refresh()
    assert house.upstreams.way("m", now=0.0).room == 1
