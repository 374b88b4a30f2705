"""Real servers on loopback that answer with scripted bytes."""

import asyncio
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tidyllm.transport.http import HttpClient

DEADLINE_S = 20.0

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"


@dataclass
class Received:
    """One request as it arrived."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    """One connection, seen from the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    served: "Served"

    async def request(self) -> Received:
        """Read one request whole and note it; EOFError (IncompleteReadError) when there is none."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (pair.split(": ", 1) for pair in rest)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        received = Received(line, headers, body)
        self.served.received.append(received)
        self.served.arrived.set()
        return received

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Wait until the client hangs up."""
        while await self.reader.read(65536):
            pass


Script: TypeAlias = Callable[[Wire], Awaitable[None]]


@dataclass
class Served:
    """A server that runs."""

    url: str
    port: int
    received: list[Received] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    connections: int = 0


@asynccontextmanager
async def served(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    """Run `script` for every connection; the connection is closed when it returns."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        try:
            await script(Wire(reader, writer, state))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass  # the client hung up, which many scripts wait for
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(handle(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    port: int = server.sockets[0].getsockname()[1]
    state = Served(f"{'https' if tls else 'http'}://127.0.0.1:{port}", port)
    try:
        yield state
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def served_aside(script: Script) -> Iterator[Served]:
    """Run the server on a loop in another thread, for tests whose own thread blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = served(script)
    try:
        yield asyncio.run_coroutine_threadsafe(anext(server.gen), loop).result(DEADLINE_S)
    finally:
        asyncio.run_coroutine_threadsafe(_ended(server.gen), loop).result(DEADLINE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended(steps: AsyncIterator[Served]) -> None:
    async for _ in steps:
        pass


async def say_hello(wire: Wire) -> None:
    """Answer every request on the connection."""
    while True:
        await wire.request()
        await wire.send(OK)


def run(
    body: Callable[[HttpClient], Awaitable[None]], *, proxy: str | None = None, ca_file: Path | None = None
) -> None:
    """Run `body` on a loop, with a client that is closed after it."""

    async def main() -> None:
        client = HttpClient(proxy=proxy, ca_file=ca_file)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await body(client)
        finally:
            await client.close(0.1)

    asyncio.run(main())


def python(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `code` in a fresh interpreter, to its end."""
    # Since 3.12 Python warns of forks where there are threads; what becomes of them is what some of this code is about.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's side of TLS for 127.0.0.1, and the file of the private authority that signed it."""
    ca, ca_key, cert, key = (folder / name for name in ("ca.pem", "ca-key.pem", "cert.pem", "key.pem"))
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    leaf = "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    for command in (
        f"{new} -keyout {ca_key} -out {ca} -subj /CN=authority",
        f"{new} -keyout {key} -out {cert} -subj /CN=server -CA {ca} -CAkey {ca_key} {leaf}",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, ca
