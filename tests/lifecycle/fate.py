"""How one request of a batch ends, whoever the provider is."""

from enum import Enum
from typing import TypeAlias

import msgspec


class OK(msgspec.Struct, frozen=True):
    """It is answered by this text."""

    text: str


class VECTOR(msgspec.Struct, frozen=True):
    """It is answered by this vector."""

    values: list[float]


class FAILED(msgspec.Struct, frozen=True):
    """It fails, as a live request with this status would have."""

    status: int
    message: str


class Unanswered(Enum):
    """It was never run, or nothing is known of it."""

    EXPIRED = "expired"
    CANCELLED = "cancelled"
    MISSING = "missing"
    """The results do not speak of it."""


EXPIRED, CANCELLED, MISSING = Unanswered.EXPIRED, Unanswered.CANCELLED, Unanswered.MISSING

Fate: TypeAlias = OK | VECTOR | FAILED | Unanswered
