"""What one process of the server is: what it is told at its start, and what it has while it lives."""

import asyncio
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import msgspec

from tidyllm.core.clock import Clock
from tidyllm.core.disk import Disk
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.settings import Settings
from tidyllm.server.thread import StoreThread


class Role(str, Enum):
    """What a process is for: the name of a module in `processes/` with a coroutine `run(Life)`."""

    API = "api"
    WORKER = "worker"
    CLERK = "clerk"


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is told at its start."""

    role: Role
    number: int = 0
    """Which process of that role it is."""
    settings: Settings
    socket_fds: tuple[int, ...]
    """The listening socket, inherited by the api; empty for the others."""


class UpstreamsNow:
    """The upstreams as they are declared now: `serve` may read them again at any time."""

    def __init__(self, upstreams: tuple[UpstreamSettings, ...]) -> None:
        self._now = upstreams
        self.changed = asyncio.Event()
        """Set when they have been declared anew; its owner clears it."""

    @property
    def now(self) -> tuple[UpstreamSettings, ...]:
        """The newest ones, in the order of the settings file; at least one."""
        return self._now

    def replace(self, upstreams: tuple[UpstreamSettings, ...]) -> None:
        """Put others in their place."""
        self._now = upstreams
        self.changed.set()


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What a process has while it lives."""

    orders: Orders
    store: StoreThread
    disk: Disk
    clock: Clock
    upstreams: UpstreamsNow
    ready: Callable[[], None]
    """To be called once, when the process can do its work."""
    stop: asyncio.Event
    """Set when the process is to end in good order."""


def encode_orders(orders: Orders) -> bytes:
    """Return orders as one line of JSON."""
    return msgspec.json.encode(orders, enc_hook=str) + b"\n"


def decode_orders(line: bytes) -> Orders:
    """Return the orders in a line."""
    return msgspec.json.decode(line, type=Orders, dec_hook=_path)


def encode_upstreams(upstreams: tuple[UpstreamSettings, ...]) -> bytes:
    """Return upstreams as one line of JSON."""
    return msgspec.json.encode(upstreams) + b"\n"


def decode_upstreams(line: bytes) -> tuple[UpstreamSettings, ...]:
    """Return the upstreams in a line."""
    return msgspec.json.decode(line, type=tuple[UpstreamSettings, ...])


def _path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)
