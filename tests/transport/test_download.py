"""Large answers on their way to disk."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.transport.scripted import DEADLINE_S, Wire, run, say_hello, served
from tidyllm.core.errors import BodyTooLargeError, BrokenConnectionError, SettingError
from tidyllm.core.wire import MIB, Request
from tidyllm.transport.http import HttpClient


def get(url: str, sink: Path, *, timeout_s: float = DEADLINE_S, body_bytes_max: int = MIB) -> Request:
    return Request(method="GET", url=url, sink=sink, timeout_s=timeout_s, body_bytes_max=body_bytes_max)


def test_answer_is_on_disk_and_not_in_memory(tmp_path: Path) -> None:
    sink = tmp_path / "out.jsonl"

    async def body(client: HttpClient) -> None:
        async with served(say_hello) as server:
            got = await client.send(get(server.url, sink))
            assert (got.status, got.body, sink.read_bytes()) == (200, b"", b"hello")

    run(body)
    assert list(tmp_path.iterdir()) == [sink]


def test_error_answer_is_in_the_body_and_leaves_no_file(tmp_path: Path) -> None:
    async def missing(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone")

    async def body(client: HttpClient) -> None:
        async with served(missing) as server:
            got = await client.send(get(server.url, tmp_path / "out"))
            assert (got.status, got.body) == (404, b"gone")
            with pytest.raises(BodyTooLargeError):
                await client.send(get(server.url, tmp_path / "out", body_bytes_max=3))

    run(body)
    assert list(tmp_path.iterdir()) == []


def test_answer_that_breaks_off_leaves_the_older_file(tmp_path: Path) -> None:
    sink = tmp_path / "out"
    sink.write_bytes(b"older")

    async def half(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")

    async def body(client: HttpClient) -> None:
        async with served(half) as server:
            with pytest.raises(BrokenConnectionError):
                await client.send(get(server.url, sink))

    run(body)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


def test_folder_that_is_missing_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    async def body(client: HttpClient) -> None:
        async with served(say_hello) as server:
            with pytest.raises(SettingError, match="There is no folder"):
                await client.send(get(server.url, tmp_path / "none" / "out"))
            assert server.connections == 0

    run(body)


def test_slow_disk_holds_the_server_back(tmp_path: Path) -> None:
    size, stalled, pushed = 100 * MIB, asyncio.Event(), 0

    async def flood(wire: Wire) -> None:
        nonlocal pushed
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while pushed < size:
            sending = asyncio.ensure_future(wire.send(bytes(MIB)))
            done, _ = await asyncio.wait({sending}, timeout=0.5)
            if not done:
                stalled.set()
            await sending
            pushed += MIB
        stalled.set()

    async def body(client: HttpClient) -> None:
        disk = ThreadPoolExecutor(1)
        asyncio.get_running_loop().set_default_executor(disk)
        release = threading.Event()
        disk.submit(release.wait, DEADLINE_S)
        async with served(flood) as server:
            sending = asyncio.create_task(client.send(get(server.url, tmp_path / "out")))
            await stalled.wait()
            assert pushed < 20 * MIB
            release.set()
            await sending
        assert (tmp_path / "out").stat().st_size == size

    run(body)


def test_timeout_is_for_each_silence(tmp_path: Path) -> None:
    async def trickle(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        for _ in range(4):
            await asyncio.sleep(0.25)  # the pace of the server is what the test is about
            await wire.send(b"x")

    async def body(client: HttpClient) -> None:
        async with served(trickle) as server:
            await client.send(get(server.url, tmp_path / "out", timeout_s=0.7))
            assert (tmp_path / "out").read_bytes() == b"xxxx"

    run(body)


def test_cancelled_download_is_finished(tmp_path: Path) -> None:
    async def body(client: HttpClient) -> None:
        release = asyncio.Event()

        async def answer(wire: Wire) -> None:
            await wire.request()
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
            await release.wait()
            await wire.send(b"hello")

        async with served(answer) as server:
            sending = asyncio.create_task(client.send(get(server.url, tmp_path / "out")))
            await asyncio.to_thread(server.arrived.wait, DEADLINE_S)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            release.set()
            await client.close(DEADLINE_S)
            assert (tmp_path / "out").read_bytes() == b"hellohello"

    run(body)
