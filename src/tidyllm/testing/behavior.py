"""What the simulated model is told to do: how slow it is, and which requests meet which fault."""

import math
import struct
from enum import Enum
from hashlib import blake2b

import msgspec

from tidyllm.core.errors import SettingError

_P99 = 2.3263478740408408
"""The 99th percentile of the standard normal distribution."""
_UNIT = 2.0**-64


class LatencyShape(str, Enum):
    """How latencies are spread around their median."""

    FIXED = "fixed"
    LOGNORMAL = "lognormal"


class Fault(Enum):
    """What goes wrong with a request."""

    ERROR = "error"
    RATE_LIMIT = "rate_limit"
    HANG = "hang"
    BROKEN = "broken"


class Plan(msgspec.Struct, frozen=True):
    """What is done with one request."""

    fault: Fault | None
    latency_s: float
    chance: float
    """A further number in [0, 1), for a fault that has variants."""


class Behavior(msgspec.Struct, frozen=True, kw_only=True):
    """How the simulated model answers; the default is at once and always well.

    Which request meets which fault follows from the seed, the request's body and how often that body was seen
    before, so a run can be repeated exactly and a retry may succeed. Raises SettingError for impossible values.
    """

    latency_ms: float = 0.0
    """Median time to an answer, in milliseconds."""
    latency_shape: LatencyShape = LatencyShape.FIXED
    latency_p99_ratio: float = 4.0
    """For `lognormal`: how many times the median the slowest 1 % take at least."""
    error_rate: float = 0.0
    """Share of requests answered with 500."""
    rate_limit_rate: float = 0.0
    """Share of requests that open a burst of 429; those are answered without latency, as real limits are."""
    rate_limit_burst: int = 1
    """Requests refused in a burst: the one that opens it, then whichever come next."""
    retry_after_s: float = 1.0
    """What the `retry-after` header of a 429 says, in seconds."""
    hang_rate: float = 0.0
    """Share of requests that are never answered, while the client holds the connection."""
    broken_rate: float = 0.0
    """Share of requests answered with 200 and a broken body: half cut off in mid-JSON, half no JSON at all."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        rates = (self.error_rate, self.rate_limit_rate, self.hang_rate, self.broken_rate)
        if min(rates) < 0 or sum(rates) > 1:
            raise SettingError(
                "error_rate, rate_limit_rate, hang_rate and broken_rate must be shares that add up to at most 1."
            )
        if not 0 <= self.latency_ms < math.inf or self.latency_p99_ratio < 1:
            raise SettingError("latency_ms must be 0 or more, and latency_p99_ratio 1 or more.")
        if self.rate_limit_burst < 1 or self.retry_after_s < 0:
            raise SettingError("rate_limit_burst must be 1 or more, and retry_after_s 0 or more.")
        if not -(2**63) <= self.seed < 2**63:
            raise SettingError(f"The seed must fit in 64 bits, which {self.seed} does not.")

    def digest(self, body: bytes) -> bytes:
        """Return 16 bytes that stand for a request body under this seed."""
        return blake2b(body, digest_size=16, key=self.seed.to_bytes(8, "little", signed=True)).digest()

    def plan(self, digest: bytes, sighting: int) -> Plan:
        """Return what to do with the body of that digest when it is seen for the `sighting`-th time, from 1 on."""
        drawn = blake2b(digest + sighting.to_bytes(8, "little"), digest_size=32).digest()
        which, chance, radius, angle = (number * _UNIT for number in struct.unpack("<4Q", drawn))
        return Plan(self._fault(which), self._latency_s(radius, angle), chance)

    def _fault(self, which: float) -> Fault | None:
        for fault, rate in (
            (Fault.ERROR, self.error_rate),
            (Fault.RATE_LIMIT, self.rate_limit_rate),
            (Fault.HANG, self.hang_rate),
            (Fault.BROKEN, self.broken_rate),
        ):
            if which < rate:
                return fault
            which -= rate
        return None

    def _latency_s(self, radius: float, angle: float) -> float:
        median_s = self.latency_ms / 1000
        if self.latency_shape is LatencyShape.FIXED or median_s == 0:
            return median_s
        # Box and Muller's transform makes a normally distributed number of two uniform ones.
        normal = math.sqrt(-2 * math.log(1 - radius)) * math.cos(2 * math.pi * angle)
        return median_s * math.exp(normal * math.log(self.latency_p99_ratio) / _P99)
