"""What the simulated model is told to do: how slow and how busy it is, and which requests meet which fault."""

import math
import struct
from enum import Enum
from functools import cached_property
from hashlib import blake2b

import msgspec

from tidyllm.core.errors import SettingError

_P99 = 2.3263478740408408
"""The 99th percentile of the standard normal distribution."""
_UNIT = 2.0**-64
HUGE_BYTES_MIN = 64
"""What the JSON around the filling of a huge body needs."""


class LatencyShape(str, Enum):
    """How latencies are spread around their median."""

    FIXED = "fixed"
    LOGNORMAL = "lognormal"


class OverCapacity(str, Enum):
    """What becomes of a request that comes while as many as possible are worked on."""

    QUEUE = "queue"
    """It is held in silence until its turn comes, first come first served, as vLLM does."""
    REFUSE = "refuse"
    """It is answered with 429 at once."""


class Fault(Enum):
    """What is out of the ordinary with a request; its share of requests is the setting of that name with `_rate`."""

    ERROR = "error"
    RATE_LIMIT = "rate_limit"
    HANG = "hang"
    BROKEN = "broken"
    RESET = "reset"
    CUT = "cut"
    PRETTY = "pretty"
    WRONG_TYPE = "wrong_type"
    HUGE = "huge"
    BOMB = "bomb"
    BAD_REQUEST = "bad_request"
    REDIRECT = "redirect"
    DRIP = "drip"
    DECLINE = "decline"
    TRUNCATE = "truncate"


class Plan(msgspec.Struct, frozen=True):
    """What is done with one request."""

    fault: Fault | None
    latency_s: float
    chance: float
    """A further number in [0, 1), for a fault that has variants."""


class Behavior(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """How the simulated model answers; the default is at once and always well.

    Which request meets which fault follows from the seed, the request's body and how often that body was seen
    before, so a run can be repeated exactly and a retry may succeed. Raises SettingError for impossible values.
    """

    latency_ms: float = 0.0
    """Median time to an answer, in milliseconds, from when the request is worked on."""
    latency_shape: LatencyShape = LatencyShape.FIXED
    latency_p99_ratio: float = 4.0
    """For `lognormal`: how many times the median the slowest 1 % take at least."""
    capacity: int = 0
    """How many requests are worked on at the same time; 0 is no bound."""
    over_capacity: OverCapacity = OverCapacity.QUEUE
    capacity_changes: tuple[tuple[int, int], ...] = ()
    """After so many received requests, the capacity from then on; what is being worked on then goes on."""
    requests_per_minute: int = 0
    """How fast a bucket of tokens refills, one a request, that holds a minute's worth and is full at first; requests
    that find it empty are refused with 429. 0 is no such limit."""
    outage_after: int = 0
    """The received request, counted from 1, with which an outage begins: all are answered with 503 while it lasts."""
    outage_s: float = 0.0
    """How long the outage lasts, in seconds."""
    key: str = ""
    """The key that requests must bear; without it any or none will do."""
    models: tuple[str, ...] = ()
    """The models there are; without it any name will do."""
    error_rate: float = 0.0
    """Share of requests answered with 500."""
    rate_limit_rate: float = 0.0
    """Share of requests that open a burst of 429; those are answered without latency, as real limits are."""
    rate_limit_burst: int = 1
    """Requests refused in a burst: the one that opens it, then whichever come next."""
    retry_after_s: float = 1.0
    """What the `retry-after` header says of a 429 in a burst or beyond the capacity, in seconds; beyond the capacity,
    0 leaves the header out."""
    hang_rate: float = 0.0
    """Share of requests that are never answered, while the client holds the connection."""
    broken_rate: float = 0.0
    """Share of requests answered with 200 and a broken body: half cut off in mid-JSON, half no JSON at all."""
    reset_rate: float = 0.0
    """Share of requests whose connection is reset before any byte of an answer."""
    cut_rate: float = 0.0
    """Share of requests answered with 200 and a body that is cut off in mid-JSON."""
    pretty_rate: float = 0.0
    """Share of requests with a good answer on many lines, with CR LF between them."""
    wrong_type_rate: float = 0.0
    """Share of requests with a good answer that claims to be `text/plain`."""
    huge_rate: float = 0.0
    """Share of requests answered with 200 and JSON of `huge_bytes`: half announce its length, half come in chunks."""
    bomb_rate: float = 0.0
    """Share of requests answered with 200 and gzip that is small and becomes JSON of `huge_bytes` when unpacked."""
    huge_bytes: int = 100 * 1024 * 1024
    bad_request_rate: float = 0.0
    """Share of requests refused with 400, without latency."""
    redirect_rate: float = 0.0
    """Share of requests sent elsewhere with 307, without latency; nobody answers there."""
    drip_rate: float = 0.0
    """Share of requests with a good answer whose body comes in about ten pieces."""
    drip_s: float = 1.0
    """The time from the first of those pieces to the last, in seconds."""
    decline_rate: float = 0.0
    """Share of chat requests, streamed ones apart, whose answer is a refusal in place of a text."""
    truncate_rate: float = 0.0
    """Share of chat requests, streamed ones apart, whose answer is cut off in the middle for its length."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        rates = self._rates()
        if not (all(rate >= 0 for rate in rates.values()) and math.fsum(rates.values()) <= 1):
            *names, last = (f"{fault.value}_rate" for fault in rates)
            raise SettingError(f"{', '.join(names)} and {last} must be shares that add up to at most 1.")
        if not 0 <= self.latency_ms < math.inf or self.latency_p99_ratio < 1:
            raise SettingError("latency_ms must be 0 or more, and latency_p99_ratio 1 or more.")
        if self.rate_limit_burst < 1 or not 0 <= self.retry_after_s < math.inf:
            raise SettingError("rate_limit_burst must be 1 or more, and retry_after_s 0 or more.")
        if self.huge_bytes < HUGE_BYTES_MIN or not 0 <= self.drip_s < math.inf:
            raise SettingError(f"huge_bytes must be {HUGE_BYTES_MIN} or more, and drip_s 0 or more.")
        if not -(2**63) <= self.seed < 2**63:
            raise SettingError(f"The seed must fit in 64 bits, which {self.seed} does not.")
        self._check_limits()

    def digest(self, body: bytes) -> bytes:
        """Return 16 bytes that stand for a request body under this seed."""
        return blake2b(body, digest_size=16, key=self.seed.to_bytes(8, "little", signed=True)).digest()

    def plan(self, digest: bytes, sighting: int) -> Plan:
        """Return what to do with the body of that digest when it is seen for the `sighting`-th time, from 1 on."""
        drawn = blake2b(digest + sighting.to_bytes(8, "little"), digest_size=32).digest()
        which, chance, radius, angle = (number * _UNIT for number in struct.unpack("<4Q", drawn))
        return Plan(self._fault(which), self._latency_s(radius, angle), chance)

    def _check_limits(self) -> None:
        """Refuse impossible limits and impossible conditions for being let in."""
        if self.capacity < 0 or self.requests_per_minute < 0:
            raise SettingError("capacity and requests_per_minute must be 0 or more, where 0 is no bound.")
        turns = [after for after, _ in self.capacity_changes]
        capacities = [capacity for _, capacity in self.capacity_changes]
        if turns != sorted({*turns}) or min([1, *turns]) < 1 or min([0, *capacities]) < 0:
            raise SettingError("capacity_changes must ascend from 1 on, each with a capacity of 0 or more.")
        if self.outage_after < 0 or not 0 <= self.outage_s < math.inf or (self.outage_after > 0) != (self.outage_s > 0):
            raise SettingError("outage_after and outage_s are given together, as numbers above 0, or not at all.")
        if not (self.key.isascii() and self.key.isprintable()) or " " in self.key:
            raise SettingError("The key must be printable ASCII without spaces.")

    def _rates(self) -> dict[Fault, float]:
        return {fault: getattr(self, f"{fault.value}_rate") for fault in Fault}

    @cached_property
    def _faults(self) -> tuple[tuple[Fault, float], ...]:
        """The faults there are: looking at all of them for each request would be slow."""
        return tuple((fault, rate) for fault, rate in self._rates().items() if rate)

    def _fault(self, which: float) -> Fault | None:
        for fault, rate in self._faults:
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
