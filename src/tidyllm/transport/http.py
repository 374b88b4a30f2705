"""The HTTP client: bounded answers, uploads and downloads through disk, sends that are never cancelled."""

import asyncio
import functools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from itertools import islice
from pathlib import Path

from pyreqwest.client import Client
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.http import HeaderMap
from pyreqwest.request import RequestBuilder
from pyreqwest.response import Response as Answer
from pyreqwest.response import ResponseBodyReader

from tidyllm.core.errors import AnswerTimeoutError, BodyTooLargeError, SettingError
from tidyllm.core.wire import TIMEOUT_S, Request, Response
from tidyllm.transport.connect import connect, trusted
from tidyllm.transport.download import save
from tidyllm.transport.faults import translate, without_secrets
from tidyllm.transport.fork import refuse_fork
from tidyllm.transport.shield import unbroken
from tidyllm.transport.upload import upload_of

READ_AHEAD_BYTES = RequestBuilder.default_streamed_read_buffer_limit()
"""How much of an answer the network thread reads unasked; one that fits costs a single turn of the loop."""
COPIED_BYTES_MAX = 64 * 1024
STREAM_TIME_MAX_S = 3600.0
"""How long a streamed answer may take in all: one that drips for ever is given up."""
CLIENTS_MAX = 8
"""Clients of pyreqwest that are kept: one for each timeout, of whole answers and of streamed ones."""
CLOSE_WAIT_S = 10.0
SETTLE_WAIT_S = 1.0
_DIGITS_MAX = len(str(READ_AHEAD_BYTES))

_LOG = logging.getLogger("tidyllm.transport")


class HttpClient:
    """Sends requests and returns complete answers; belongs to the process and the event loop that use it.

    Proxies come from `proxy` (a URL; it may hold a user name and a password), else from HTTP_PROXY, HTTPS_PROXY,
    ALL_PROXY and NO_PROXY. Trusted are the system's certificate authorities, those in SSL_CERT_FILE and those in
    `ca_file`. Redirects are not followed: a 3xx is an answer like any other.
    """

    def __init__(self, *, proxy: str | None = None, ca_file: Path | None = None) -> None:
        self._proxy = proxy
        self._certificates = trusted(ca_file, os.environ.get("SSL_CERT_FILE"))
        refuse_fork(_network_pid())
        self._clients: dict[tuple[float, bool], Client] = {}
        self._client(TIMEOUT_S, by_silence=False)
        self._exchanging: set[asyncio.Task[object] | None] = set()
        """The tasks that carry what is in flight: their callers' own, or one of ours after those were cancelled."""
        self._idle: asyncio.Event | None = None
        """Set when nothing is in flight; there is none before the client is being closed."""
        self._breaking_off = False

    def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Coroutine[object, object, Response]:
        """Return the answer, whatever its status; `headers` are sent too, and are where a key belongs.

        A cancelled caller leaves the exchange running to its true end, unless the request lets go: an answer that was
        asked for is paid for.
        Raises a `TransportError` where no complete answer arrives, `SettingError` where nothing could be sent, and
        OSError where a file that is sent or written fails in the middle.
        """
        self._check_usable()
        exchange = self._exchange(request, headers)
        return exchange if request.lets_go else self._unbroken(exchange, to_disk=request.sink is not None)

    async def close(self, wait_s: float = CLOSE_WAIT_S) -> None:
        """Wait up to `wait_s` seconds for what is in flight, cancel the rest and its callers, and end the client."""
        self._idle = self._idle or asyncio.Event()
        await self._wait_idle(wait_s)
        if self._exchanging:
            _LOG.warning("%d exchanges did not end in time and are broken off.", len(self._exchanging))
            self._breaking_off = True
            for task in tuple(self._exchanging):
                if task is not None:
                    task.cancel()
            await self._wait_idle(SETTLE_WAIT_S)
        for client in self._clients.values():
            await client.close()
        await _settle()

    async def _unbroken(self, exchange: Coroutine[object, object, Response], *, to_disk: bool) -> Response:
        if to_disk:
            # Disk calls are awaited in there, which bear no cancelling: the ordinary shield.
            return await asyncio.shield(self._keep(exchange))
        return await unbroken(exchange, self._keep)

    def _check_usable(self) -> None:
        refuse_fork(_network_pid())
        if self._idle is not None:
            raise SettingError("The HTTP client is closed.")

    async def _wait_idle(self, wait_s: float) -> None:
        if self._exchanging and self._idle is not None:
            idle = asyncio.ensure_future(self._idle.wait())
            await asyncio.wait((idle,), timeout=wait_s)
            idle.cancel()

    def _keep(self, exchange: Coroutine[object, object, Response]) -> asyncio.Task[Response]:
        """Let `exchange` run on by itself; asyncio alone would hold it only weakly."""
        self._exchanging.discard(asyncio.current_task())
        task = asyncio.create_task(exchange)
        self._exchanging.add(task)
        task.add_done_callback(self._leave)
        task.add_done_callback(_note_failure)
        if self._breaking_off:
            task.cancel()
        return task

    def _leave(self, task: asyncio.Task[Response] | asyncio.Task[object] | None) -> None:
        self._exchanging.discard(task)
        if self._idle is not None and not self._exchanging:
            self._idle.set()

    async def _exchange(self, request: Request, signature: tuple[tuple[str, str], ...]) -> Response:
        started = time.perf_counter()
        task = asyncio.current_task()
        self._exchanging.add(task)
        try:
            async with self._builder(request, signature).build_streamed() as answer:
                headers = _plain(answer.headers)
                body = await _receive(answer, request, length=_length(headers, request))
                return Response(
                    status=answer.status,
                    headers=headers,
                    body=body,
                    seconds=time.perf_counter() - started,
                )
        except PyreqwestError as error:
            raise translate(error, request.url) from error
        finally:
            self._leave(task)  # Where another task has taken over, that one leaves by itself.

    def _builder(self, request: Request, headers: tuple[tuple[str, str], ...]) -> RequestBuilder:
        in_pieces = request.sink is not None or request.receive is not None
        client = self._client(request.timeout_s, by_silence=in_pieces)
        try:
            builder = client.request(request.method, request.url)
        except ValueError as error:
            raise SettingError(f"{request.method} {without_secrets(request.url)} is no request: {error}.") from error
        try:
            builder = builder.headers((*request.headers, *headers))
        except ValueError:
            # The reason quotes the value, which may be a key.
            raise SettingError(
                "A header cannot be sent: its name or its value holds a line break or the like."
            ) from None
        if request.sink is not None and not request.sink.parent.is_dir():
            raise SettingError(f"There is no folder {request.sink.parent} to save the answer in.")
        if in_pieces:
            builder = builder.streamed_read_buffer_limit(0)
        if request.body is None:
            return builder
        if isinstance(request.body, bytes):
            return _with_body(builder, request.body)
        upload = upload_of(request.body)
        if upload.content_type is not None:
            builder = builder.header("content-type", upload.content_type)
        return builder.header("content-length", str(upload.length)).body_stream(upload.chunks())

    def _client(self, timeout_s: float, *, by_silence: bool) -> Client:
        """Return what waits so long: a request of its own could be told how long, but each word to pyreqwest costs."""
        client = self._clients.get((timeout_s, by_silence))
        if client is None:
            if len(self._clients) == CLIENTS_MAX:
                # The oldest but the first, which is the usual one; exchanges that are under way keep theirs.
                del self._clients[next(islice(self._clients, 1, None))]
            client = connect(self._proxy, self._certificates, timeout_s=timeout_s, by_silence=by_silence)
            self._clients[timeout_s, by_silence] = client
        return client


def _with_body(builder: RequestBuilder, body: bytes) -> RequestBuilder:
    """Give a request its body: a short text as a copy.

    Bytes are only lent, and given back under the interpreter's lock, for which the network's thread has to wait.
    """
    if len(body) > COPIED_BYTES_MAX:
        return builder.body_bytes(body)
    try:
        return builder.body_text(body.decode())
    except UnicodeDecodeError:
        return builder.body_bytes(body)


@functools.cache
def _network_pid() -> int:
    """Return the process in which pyreqwest's network thread was started: it runs in no other."""
    return os.getpid()


def _note_failure(task: asyncio.Task[Response]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.debug("An exchange whose caller may be gone failed: %s", error)


async def _receive(answer: Answer, request: Request, *, length: int | None) -> bytes:
    receive = None
    if 200 <= answer.status < 300:  # noqa: PLR2004 - as Response.ok has it
        if request.sink is not None:
            await save(answer.body_reader, request.sink)
            return b""
        receive = request.receive
    return await _read_capped(answer.body_reader, request, receive=receive, length=length)


async def _read_capped(
    reader: ResponseBodyReader, request: Request, *, receive: Callable[[bytes], bool] | None, length: int | None
) -> bytes:
    """Return the body; `receive` is shown each run of bytes as it comes, and says whether more is wanted.

    Where its `length` is known it is not asked for an end that has been read already.
    """
    late_at = time.monotonic() + STREAM_TIME_MAX_S
    chunk = await reader.read_chunk()
    parts: list[bytes] = []
    size = 0
    while chunk is not None:
        size += len(chunk)
        if size > request.body_bytes_max:
            raise BodyTooLargeError(
                f"The answer's body passed {request.body_bytes_max} bytes and was abandoned.", url=request.url
            )
        parts.append(chunk.to_bytes())
        if receive is not None:
            if not receive(parts[-1]):
                break
            if time.monotonic() > late_at:
                raise AnswerTimeoutError(f"The stream did not end in {STREAM_TIME_MAX_S:g} s.", url=request.url)
        if size == length:
            break
        chunk = await reader.read_chunk()
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _length(headers: Mapping[str, str], request: Request) -> int | None:
    """Return how long a body is that was read ahead to its end; null where it was not, or where that is not sure."""
    if request.sink is not None or request.receive is not None:
        return None
    told = headers.get("content-length", "")
    if not told.isdecimal() or len(told) > _DIGITS_MAX or "transfer-encoding" in headers:
        return None
    return length if (length := int(told)) < READ_AHEAD_BYTES else None


def _plain(headers: HeaderMap) -> Mapping[str, str]:
    try:
        values = headers.dict_multi_value()
    except ValueError:
        return _readable(headers)
    return {name: value if isinstance(value, str) else value[0] for name, value in values.items()}


def _readable(headers: HeaderMap) -> Mapping[str, str]:
    """Return the headers that are text; one that is not makes the whole map refuse, but must not cost the answer."""
    plain: dict[str, str] = {}
    for name in headers:
        try:
            plain.setdefault(name, headers[name])
        except ValueError:
            _LOG.debug("The header %s is not text.", name)
    return plain


async def _settle() -> None:
    """Wait until pyreqwest's network thread is out of Python.

    It wakes the loop by `call_soon_threadsafe`, which in asyncio's own loop lets other threads run while it writes to
    a pipe. If the interpreter ends in that moment, the thread cannot come back and the process aborts.
    """
    deadline = time.monotonic() + SETTLE_WAIT_S
    while time.monotonic() < deadline and not _only_our_threads():  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.001)


def _only_our_threads() -> bool:
    """Whether every thread that is inside a Python function was started by Python."""
    ours = {thread.ident for thread in threading.enumerate()}
    return ours.issuperset(sys._current_frames())  # noqa: SLF001 - documented, and the only way to see the others
