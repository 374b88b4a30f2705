"""What the routes work with, and whose things a request may see."""

import msgspec
from starlette.requests import Request

from tidyllm.core.clock import Clock
from tidyllm.core.disk import Disk
from tidyllm.server.blob import Blobs
from tidyllm.server.settings import Settings
from tidyllm.server.store import DEFAULT_PROJECT
from tidyllm.server.thread import StoreThread


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the routes need, made by whoever starts the server."""

    settings: Settings
    store: StoreThread
    blobs: Blobs
    disk: Disk
    clock: Clock

    def now(self) -> int:
        """Return the time in whole seconds since 1970 UTC, as the API tells it."""
        return int(self.clock.now())


def project_of(request: Request) -> str:  # noqa: ARG001 - keys will be read from the request here, and nowhere else
    """Return the project whose files and batches the request may see; without keys there is one."""
    return DEFAULT_PROJECT
