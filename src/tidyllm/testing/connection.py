"""One HTTP/1.1 connection of the simulated model: requests are read as they come and answered in that order."""

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import cast

import httptools

from tidyllm.testing.answers import Answer, Stream, refusal

BODY_BYTES_MAX = 64 * 1024 * 1024
HEAD_BYTES_MAX = 64 * 1024
PIPELINED_MAX = 1000
"""Requests of one connection that wait for their answers before reading stops."""
LINGER_S = 2.0
"""How long the rest of a refused request is read and thrown away, so that its sender can read the refusal."""

_CONTINUE = Answer(status=100, body=b"")
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""The socket option with which closing throws away what is not sent, and resets the connection."""


class Exchange:
    """A request that was received, and the place its answer has in the order of answers."""

    __slots__ = ("_connection", "answer", "authorization", "body", "closes", "method", "on_end", "target")

    def __init__(
        self, connection: "Connection", *, method: str, target: str, body: bytes, authorization: bytes
    ) -> None:
        self._connection = connection
        self.method = method
        self.target = target
        """Path and query, as the client sent them."""
        self.body = body
        self.authorization = authorization
        """The header of that name; empty if there is none."""
        self.closes = False
        """Whether the connection ends with this answer."""
        self.answer: Answer | None = None
        self.on_end: Callable[[bool], None] | None = None
        """Called once: with True just before the answer is written, or with False when the connection is lost."""

    def respond(self, answer: Answer) -> None:
        """Answer, as soon as all earlier requests of the connection are answered; if it is gone, do nothing.

        An answer that is a reset does not wait for the earlier ones: it takes them with it.
        """
        if answer.reset:
            self._connection.reset()
            return
        self.answer = answer
        self._connection.flush()


class Connection(asyncio.Protocol):
    """Parses what a client sends and writes what `handle` answers, at once or later."""

    def __init__(self, handle: Callable[[Exchange], None], connections: "set[Connection]") -> None:
        self._handle = handle
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._lost: asyncio.Future[None]
        self._waiting: deque[Exchange] = deque()
        self._busy = False
        """Whether requests are being parsed, whose answers are then written together, or answers written."""
        self._closed = False
        """Whether the last answer is written, or the connection lost."""
        self._deaf = False
        """Whether nothing more is read, because the connection ends after an answer that is due."""
        self._clogged = False
        """Whether the client reads more slowly than we write."""
        self._paused = False
        self._lingers = False
        """Whether the last answer refuses a request whose rest may still be on its way."""
        self._pieces_due: Iterator[bytes] | None = None
        """What is still to be written of an answer that comes in pieces; no other is written meanwhile."""
        self._stalled: bytes | None = None
        """The next piece, while it waits until the client reads."""
        self._start_request()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._lost = asyncio.get_running_loop().create_future()
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what is not answered."""
        del exc  # However it ended, the client is gone.
        self._transport = self._pieces_due = None
        self._deaf = self._closed = True
        self._connections.discard(self)
        while self._waiting:
            _end(self._waiting.popleft(), written=False)
        self._lost.set_result(None)

    def abort(self) -> asyncio.Future[None]:
        """Close without waiting for anything; the future is done when nothing more happens here."""
        if self._transport is not None:
            self._transport.abort()
        return self._lost

    def reset(self) -> None:
        """Close in such a way that the client sees an error, whatever it still waits for."""
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse."""
        if self._deaf:
            return
        self._busy = True
        self._head_is_new = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request that asks for another protocol is answered in this one, as it may be, and is the last.
            self._deaf = True
            self._waiting[-1].closes = True
        except httptools.HttpParserCallbackError:
            raise  # An error of ours.
        except httptools.HttpParserError as error:
            self._refuse(refusal(f"The request is not HTTP: {error}."))
        finally:
            self._busy = False
        if self._in_head and not self._head_is_new:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(refusal(f"The request's head is larger than {HEAD_BYTES_MAX} bytes.", status=431))
        self.flush()

    def pause_writing(self) -> None:
        """Read nothing from a client that does not read."""
        self._clogged = True
        self._regulate()

    def resume_writing(self) -> None:
        """Go on."""
        self._clogged = False
        self._regulate()
        if self._stalled is not None:
            piece, self._stalled = self._stalled, None
            self._write_piece(piece)

    def on_message_begin(self) -> None:
        """Note that a head is being read."""
        self._in_head = self._head_is_new = True

    def on_url(self, url: bytes) -> None:
        """Collect the target, which may come in pieces."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Look for the three headers that matter."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects = True
        elif name == b"content-length" and value.isdigit() and int(value) > BODY_BYTES_MAX:
            self._refuse_body()
        elif name == b"authorization":
            self._authorization = value

    def on_headers_complete(self) -> None:
        """Ask for the body, if the client waits to be asked."""
        self._in_head = False
        self._head_bytes = 0
        if self._expects and not self._deaf:
            self._enqueue(_CONTINUE)

    def on_body(self, piece: bytes) -> None:
        """Collect the body."""
        self._body_bytes += len(piece)
        if self._body_bytes > BODY_BYTES_MAX:
            self._refuse_body()
        elif not self._deaf:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Hand the request over."""
        if self._deaf:
            return
        exchange = Exchange(
            self,
            method=self._parser.get_method().decode("ascii"),
            target=self._target.decode("latin-1"),
            body=self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces),
            authorization=self._authorization,
        )
        if not self._parser.should_keep_alive():
            exchange.closes = self._deaf = True
        self._start_request()
        self._waiting.append(exchange)
        self._handle(exchange)

    def flush(self) -> None:
        """Write the answers whose turn it is."""
        if self._busy or self._closed or self._pieces_due is not None:
            return
        self._busy = True
        while self._pieces_due is None and (due := self._take_due()):
            # Counted first: whoever has an answer finds it in the counts. This may answer a request of this
            # connection that waits for a count, hence the loop.
            for _, exchange in due:
                _end(exchange, written=True)
            if self._transport is not None:
                self._transport.write(b"".join([_wire(answer, exchange) for answer, exchange in due]))
            answer, exchange = due[-1]
            if answer.stream is not None:
                self._begin_pieces(answer.stream, closes=exchange.closes)
            elif exchange.closes:
                self._close()
        self._busy = False
        self._regulate()

    def _take_due(self) -> list[tuple[Answer, Exchange]]:
        """Take out the requests at the front that are answered, up to one that nothing may follow, or not yet."""
        due: list[tuple[Answer, Exchange]] = []
        while not self._closed and self._waiting and (answer := self._waiting[0].answer) is not None:
            exchange = self._waiting.popleft()
            exchange.closes |= answer.cut
            due.append((answer, exchange))
            if exchange.closes or answer.stream is not None:
                break
        return due

    def _begin_pieces(self, stream: Stream, *, closes: bool) -> None:
        if self._transport is None:
            return
        self._pieces_due = _framed(stream, closes=closes)
        self._pause_s = stream.pause_s
        self._closes_after_pieces = closes
        self._write_piece(next(self._pieces_due))

    def _write_piece(self, piece: bytes) -> None:
        """Write a piece and have the next one written later; after the last, go on with the other answers."""
        if self._transport is None or self._pieces_due is None:
            return
        if self._clogged:
            self._stalled = piece
            return
        self._transport.write(piece)
        following = next(self._pieces_due, None)
        if following is not None:
            asyncio.get_running_loop().call_later(self._pause_s, self._write_piece, following)
            return
        self._pieces_due = None
        if self._closes_after_pieces:
            self._close()
        self.flush()

    def _start_request(self) -> None:
        self._target = b""
        self._pieces: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._in_head = False
        self._expects = False
        self._authorization = b""

    def _refuse_body(self) -> None:
        self._refuse(refusal(f"The request's body is larger than {BODY_BYTES_MAX} bytes.", status=413))

    def _refuse(self, answer: Answer) -> None:
        """Answer a request that cannot be read on, and nothing after it."""
        if self._deaf:
            return
        self._deaf = self._lingers = True
        self._enqueue(answer).closes = True

    def _enqueue(self, answer: Answer) -> Exchange:
        """Let an answer take its turn that no request handed over asks for."""
        exchange = Exchange(self, method="", target="", body=b"", authorization=b"")
        exchange.answer = answer
        self._waiting.append(exchange)
        return exchange

    def _close(self) -> None:
        self._deaf = self._closed = True
        if self._transport is None:
            return
        if not self._lingers:
            self._transport.close()
            return
        # Closing while the client still sends would reset the connection, and the refusal with it.
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    def _regulate(self) -> None:
        too_much = self._clogged or len(self._waiting) >= PIPELINED_MAX
        if self._transport is None or too_much == self._paused or self._transport.is_closing():
            return
        self._paused = too_much
        if too_much:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def _end(exchange: Exchange, *, written: bool) -> None:
    on_end, exchange.on_end = exchange.on_end, None  # It knows the exchange: kept, both would be garbage of a cycle.
    if on_end is not None:
        on_end(written)


def _wire(answer: Answer, exchange: Exchange) -> bytes:
    if answer is _CONTINUE:
        return b"HTTP/1.1 100 Continue\r\n\r\n"
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"content-type: {answer.content_type}",
        f"x-request-id: {answer.request_id}",
        "x-simulated: true",
    ]
    if answer.stream is None:
        lines.append(f"content-length: {len(answer.body)}")
    elif answer.stream.length is not None:
        lines.append(f"content-length: {answer.stream.length}")
    elif not exchange.closes:  # Else the end of the connection says where the body ends.
        lines.append("transfer-encoding: chunked")
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if exchange.closes:
        lines.append("connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if exchange.method == "HEAD" or answer.stream is not None:
        return head
    return head + (answer.body[: len(answer.body) // 2] if answer.cut else answer.body)


def _framed(stream: Stream, *, closes: bool) -> Iterator[bytes]:
    """Return the pieces as they go over the wire, in chunks where nothing else says where the body ends."""
    if stream.length is not None or closes:
        yield from stream.pieces
        return
    for piece in stream.pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"
