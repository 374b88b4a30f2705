"""What every request passes first and its answer last: who may call, the stamps on answers, what becomes of faults."""

import asyncio
import ipaddress
import logging
import secrets
from collections.abc import Iterable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidyllm.core.clock import Clock
from tidyllm.core.disk import is_full
from tidyllm.core.errors import StorageError
from tidyllm.server.api.errors import RefusedError, disk_full, error_response, internal_error, stopping, storage_trouble

_log = logging.getLogger(__name__)

API_VERSION = "2020-10-01"
"""What OpenAI's `openai-version` header says; spec/openai-batch 1.6."""


class Gate:
    """ASGI middleware around the whole API.

    A web page of any site may post to a loopback address, and its name may be rebound to one: so `Host` must be
    a loopback name or the configured one, and `Origin`, if there is one, must be this server.
    """

    def __init__(self, app: ASGIApp, *, host: str, clock: Clock) -> None:
        self._app = app
        self._names = frozenset({"localhost", host.lower()})
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through or refuse it, and stamp the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{secrets.token_hex(16)}"
        began = self._clock.monotonic()
        answered = False

        async def stamp(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                milliseconds = round((self._clock.monotonic() - began) * 1000)
                message = {**message, "headers": [*message.get("headers", ()), *_stamps(request_id, milliseconds)]}
            await send(message)

        try:
            self._check(scope["headers"])
            await self._app(scope, receive, stamp)
        except RefusedError as refused:
            await error_response(refused)(scope, receive, stamp)
        except ClientDisconnect:
            _log.debug("The client of request %s went away.", request_id)
        except asyncio.CancelledError:
            if answered:
                raise
            await error_response(stopping())(scope, receive, stamp)
        except Exception as error:
            if answered:
                raise
            await error_response(self._fault(error, f"{request_id}, {scope['method']} {scope['path']}"))(
                scope, receive, stamp
            )

    def _fault(self, error: Exception, request: str) -> RefusedError:
        """Return what a client is told of a fault that is not its own, and tell whoever runs the server more."""
        full = error.full if isinstance(error, StorageError) else isinstance(error, OSError) and is_full(error)
        if isinstance(error, StorageError | OSError):
            _log.warning("The storage failed request %s: %r", request, error)
            return disk_full() if full else storage_trouble()
        _log.error("Request %s failed.", request, exc_info=error)
        return internal_error()

    def _check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
        origins = [value.decode("latin-1").lower() for name, value in headers if name == b"origin"]
        if len(hosts) != 1 or not self._is_ours(_hostname(hosts[0])):
            message = (
                f"The Host header must name this server, such as localhost, and not {', '.join(hosts) or 'nothing'}."
            )
            raise RefusedError(message, status=421, code="host_not_allowed")
        if any(origin not in {f"http://{hosts[0]}", f"https://{hosts[0]}"} for origin in origins):
            message = f"Pages of another site may not use this server: {', '.join(origins)}."
            raise RefusedError(message, status=403, code="origin_not_allowed")

    def _is_ours(self, hostname: str) -> bool:
        if hostname in self._names:
            return True
        try:
            return ipaddress.ip_address(hostname).is_loopback
        except ValueError:
            return False


def _hostname(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _stamps(request_id: str, milliseconds: int) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-request-id", request_id.encode()),
        (b"openai-processing-ms", str(milliseconds).encode()),
        (b"openai-version", API_VERSION.encode()),
    ]
