"""What the HTTP client adds to bare pyreqwest: CPU per call, against a server without latency in another process."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from statistics import median
from typing import cast

import uvloop
from pyreqwest.client import ClientBuilder

from tidyllm.core.auth import Auth
from tidyllm.core.wire import Call, Request
from tidyllm.transport.drive import Transport, adrive
from tidyllm.transport.http import HttpClient
from tidyllm.transport.keys import Keys

CALLS = 5_000
ROUNDS = 7
IN_FLIGHT = (64, 256)
BODY = b'{"model":"m","messages":[{"role":"user","content":"%s"}]}' % (b"hello world " * 40)
TYPE = (("content-type", "application/json"),)
KEY = (("authorization", "Bearer sk-benchmark"),)

ANSWER_BODY = b'{"id":"chatcmpl-1","choices":[{"message":{"role":"assistant","content":"%s"}}]}' % (b"fine " * 40)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_1\r\ncontent-length: %d\r\n\r\n"
ANSWER = HEAD % len(ANSWER_BODY) + ANSWER_BODY

Variants = dict[str, Callable[[], Awaitable[object]]]


class Bare(asyncio.Protocol):
    """Answers every request of known length with the same bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing read."""
        self.transport = cast("asyncio.Transport", transport)
        self.pending = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self.pending += data
        while (head := self.pending.find(b"\r\n\r\n")) >= 0:
            length = self.pending[:head].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            end = head + 4 + int(length or 0)
            if len(self.pending) < end:
                return
            self.pending = self.pending[end:]
            self.transport.write(ANSWER)


async def serve() -> None:
    """Serve on a free port, which is printed."""
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def variants(url: str, ours: HttpClient) -> Variants:
    """Return what is compared, each as one call."""
    bare = ClientBuilder().follow_redirects(enable=False).build()
    timeout = timedelta(seconds=600)
    transport = Transport(sender=ours, keys=Keys("sk-benchmark"))
    auth = Auth(env="NONE")

    async def by_pyreqwest() -> bytes:
        request = bare.request("POST", url).headers((*TYPE, *KEY)).body_bytes(BODY).timeout(timeout)
        return (await (await request.build().send()).bytes()).to_bytes()

    async def by_client() -> bytes:
        return (await ours.send(Request(method="POST", url=url, headers=TYPE, body=BODY), KEY)).body

    def call() -> Call[bytes]:
        return (yield Request(method="POST", url=url, headers=TYPE, body=BODY, auth=auth)).body

    async def by_driver() -> bytes:
        return await adrive(call(), transport)

    return {"pyreqwest, bare": by_pyreqwest, "HttpClient.send": by_client, "adrive": by_driver}


async def cpu_us(one: Callable[[], Awaitable[object]], in_flight: int) -> float:
    """Return the CPU time of this process per call, in microseconds."""

    async def work() -> None:
        for _ in range(CALLS // in_flight):
            await one()

    start = time.process_time()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return (time.process_time() - start) / (CALLS // in_flight * in_flight) * 1e6


async def compare(url: str) -> None:
    """Print the median of each variant and its ratio to the first; they take turns, so that noise falls on all."""
    ours = HttpClient()
    for in_flight in IN_FLIGHT:
        times: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, one in variants(url, ours).items():
                times.setdefault(name, []).append(await cpu_us(one, in_flight))
        base = median(next(iter(times.values())))
        for name, taken in times.items():
            middle = median(taken)
            print(f"  {in_flight:4} in flight  {name:16}{middle:7.1f} us CPU per call  {middle / base:5.2f} x")
    await ours.close()


def main() -> None:
    """Start the server and compare."""
    with subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None  # noqa: S101 - for the type checker; it was asked for
        try:
            compare_loops(f"http://127.0.0.1:{server.stdout.readline().strip()}/v1/chat/completions")
        finally:
            server.terminate()


def compare_loops(url: str) -> None:
    """Compare under asyncio's own loop and under uvloop."""
    for name, new_loop in (("asyncio", asyncio.new_event_loop), ("uvloop", uvloop.new_event_loop)):
        print(name)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(compare(url))


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
    else:
        main()
