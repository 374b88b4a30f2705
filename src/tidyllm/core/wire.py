"""Requests, responses, and the generators that exchange them: HTTP as plain values."""

from collections.abc import Callable, Generator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import msgspec

from tidyllm.core.auth import Auth

T = TypeVar("T")

MIB = 1024 * 1024
TIMEOUT_S = 600.0
"""How long an exchange may take where nothing else is said."""


class Repeat(Enum):
    """When a request may be sent again without asking anybody."""

    ALWAYS = "always"
    IF_NOT_SENT = "if_not_sent"
    """Only after a connection that was refused or never stood, or an outright 429: any timeout may have been sent."""
    NEVER = "never"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a multipart form; a `Path` is streamed from disk."""

    name: str
    content: bytes | Path
    filename: str | None = None
    content_type: str | None = None


class Multipart(msgspec.Struct, frozen=True):
    """A multipart/form-data body; the parts are sent in this order."""

    parts: tuple[Part, ...]


Body: TypeAlias = bytes | Path | Multipart | None


class Decoder(Protocol):
    """Reads an answer that comes in pieces; pure, and never raises for what the answer holds."""

    @property
    def ended(self) -> bool:
        """Return whether the answer has said that it is at its end, or that it failed: nothing more is to come."""
        ...

    @property
    def problem(self) -> bytes | None:
        """Return the error that the stream told of, as JSON; null where it told of none."""
        ...

    def feed(self, data: bytes) -> Sequence[str]:
        """Return the pieces of text that these bytes complete."""
        ...


class Lane(msgspec.Struct, frozen=True):
    """One model at one address: what an API's limits are about."""

    provider: str
    model: str
    base_url: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, unsigned: the driver adds the key as it sends."""

    method: str
    url: str
    """Absolute, with the query."""
    headers: tuple[tuple[str, str], ...] = ()
    body: Body = None
    counts_as: int | None = None
    """How many bytes of text its body stands for where tokens are guessed; null where that is its length."""
    auth: Auth | None = None
    """How it is to be signed."""
    lane: Lane | None = None
    """Whose limits it counts against; requests of one lane are paced together."""
    repeat: Repeat = Repeat.ALWAYS
    timeout_s: float = TIMEOUT_S
    """For the whole exchange, from connecting to the last byte; with `sink` or `receive`, for each silence instead."""
    body_bytes_max: int = 64 * MIB
    """Cap on the answer's body, counted after decompression; with `sink` it caps only error answers."""
    sink: Path | None = None
    """Where a large successful answer is written as it comes; the response then has an empty body."""
    decoder: Callable[[], Decoder] | None = None
    """Makes what reads the answer while it comes, for whoever watches; the response has its whole body all the same."""
    lets_go: bool = False
    """Whether it is broken off when nobody awaits its answer any more; else it goes on to its true end."""
    receive: Callable[[bytes], bool] | None = None
    """Set by the driver: called with each run of bytes of a successful answer; false ends the exchange there."""

    @property
    def signature(self) -> Auth | None:
        """Return how it is to be signed: not at all where its own headers do that already."""
        if self.auth is not None:
            for name, _ in self.headers:
                if name.lower() == self.auth.header:
                    return None
        return self.auth


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One complete HTTP answer."""

    status: int
    headers: Mapping[str, str] = {}
    """Names in lower case; a repeated header keeps its first value."""
    body: bytes = b""
    seconds: float = 0.0
    """From sending to the last byte."""
    attempts: int = 1
    """How often the request was sent, until this answer came."""

    @property
    def ok(self) -> bool:
        """Whether the status is 200-299."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the range is the definition


class Sleep(msgspec.Struct, frozen=True):
    """A pause that a call asks for, in seconds; it is answered with `SLEPT`."""

    seconds: float


SLEPT = Response(status=0)
"""What a call is sent after a `Sleep`."""

Call: TypeAlias = Generator[Request | Sleep, Response, T]
"""A call to an API: yields what it wants done, is sent the answers, returns its result.

A `TransportError` is thrown into the call at the `yield` whose request met it.
"""
