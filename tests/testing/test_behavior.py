import math
import statistics
from collections import Counter

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.testing.behavior import Behavior, Fault, LatencyShape

BODIES = [f"body {number}".encode() for number in range(20_000)]


def faults(behavior: Behavior, *, sighting: int = 1) -> list[Fault | None]:
    return [behavior.plan(behavior.digest(body), sighting).fault for body in BODIES]


def test_by_default_every_request_is_answered_at_once() -> None:
    plan = Behavior().plan(Behavior().digest(b"x"), 1)
    assert plan.fault is None
    assert plan.latency_s == 0


def test_each_fault_meets_its_share_of_requests() -> None:
    behavior = Behavior(error_rate=0.1, rate_limit_rate=0.2, hang_rate=0.05, broken_rate=0.15)
    counted = Counter(faults(behavior))
    shares = {fault: round(number / len(BODIES), 2) for fault, number in counted.items()}
    expected = {None: 0.5, Fault.ERROR: 0.1, Fault.RATE_LIMIT: 0.2, Fault.HANG: 0.05, Fault.BROKEN: 0.15}
    assert shares == {fault: pytest.approx(share, abs=0.011) for fault, share in expected.items()}


def test_every_fault_has_a_share_and_all_of_them_may_share_everything_out() -> None:
    rates = {f"{fault.value}_rate": 1 / len(Fault) for fault in Fault}
    counted = Counter(faults(Behavior(**rates)))  # type: ignore[arg-type]
    assert {fault: number / len(BODIES) for fault, number in counted.items()} == {
        fault: pytest.approx(1 / len(Fault), abs=0.011) for fault in Fault
    }


def test_the_same_request_meets_the_same_fault_and_its_repetition_another_draw() -> None:
    behavior = Behavior(error_rate=0.5)
    assert faults(behavior) == faults(Behavior(error_rate=0.5))
    again = faults(behavior, sighting=2)
    both = sum(first is second is Fault.ERROR for first, second in zip(faults(behavior), again, strict=True))
    assert both / len(BODIES) == pytest.approx(0.25, abs=0.02)


def test_another_seed_deals_the_faults_out_to_other_requests() -> None:
    assert faults(Behavior(error_rate=0.5)) != faults(Behavior(error_rate=0.5, seed=-1))


def test_lognormal_latencies_have_the_median_and_the_tail_that_were_asked_for() -> None:
    behavior = Behavior(latency_ms=100, latency_shape=LatencyShape.LOGNORMAL, latency_p99_ratio=5)
    latencies = [behavior.plan(behavior.digest(body), 1).latency_s for body in BODIES]
    assert statistics.median(latencies) == pytest.approx(0.1, rel=0.03)
    assert statistics.quantiles(latencies, n=100)[-1] == pytest.approx(0.5, rel=0.08)


def test_fixed_latencies_are_all_the_same() -> None:
    behavior = Behavior(latency_ms=250)
    assert {behavior.plan(behavior.digest(body), 1).latency_s for body in BODIES[:100]} == {0.25}


@pytest.mark.parametrize(
    "wrong",
    [
        {"error_rate": -0.1},
        {"error_rate": 0.6, "hang_rate": 0.6},
        {"latency_ms": -1.0},
        {"latency_ms": math.inf},
        {"latency_p99_ratio": 0.5},
        {"rate_limit_burst": 0},
        {"retry_after_s": -1.0},
        {"seed": 2**63},
        {"capacity": -1},
        {"capacity_changes": ((0, 1),)},
        {"capacity_changes": ((2, 1), (1, 2))},
        {"capacity_changes": ((2, 1), (2, 2))},
        {"capacity_changes": ((1, -1),)},
        {"requests_per_minute": -1},
        {"outage_after": 3},
        {"outage_s": 3.0},
        {"outage_after": -1, "outage_s": -1.0},
        {"outage_after": 1, "outage_s": math.inf},
        {"key": "two words"},
        {"key": "schlüssel"},
        {"retry_after_s": math.inf},
        {"huge_bytes": 63},
        {"drip_s": -0.1},
        {"drip_rate": math.nan},
        {"cut_rate": 0.5, "huge_rate": 0.6},
    ],
)
def test_impossible_behavior_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        Behavior(**wrong)  # type: ignore[arg-type]
