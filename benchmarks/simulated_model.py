"""How many answers a second the simulated model gives, and what CPU time one costs its process.

The load comes from this process over raw sockets, each with one request at a time, none of them like another. Where
both share a core the answers a second are too few; the CPU time of an answer does not depend on that. Linux only.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

from tidyllm.transport.loops import new_loop

BAR_PER_S = 15_000
CONNECTIONS = 64
PATIENCE_S = 300.0
PROMPT = "Rate this review: the room was clean, the breakfast late, and the view worth the climb. " * 4


def request(number: int) -> bytes:
    """Return a chat completion request of a common size, unlike any other."""
    messages = [
        {"role": "system", "content": "You are a careful rater. Answer with one word."},
        {"role": "user", "content": f"{number:08} {PROMPT}"},
    ]
    body = json.dumps({"model": "any-model", "temperature": 0, "messages": messages}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1",
        "host: x",
        "authorization: Bearer none",
        "accept: */*",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    return "\r\n".join([*head, "", ""]).encode() + body


class Load:
    """Requests that are sent, each when the answer before it on its connection has come."""

    def __init__(self, total: int) -> None:
        self.requests = [request(number) for number in range(total)]
        self.unanswered = total
        self.done = asyncio.get_running_loop().create_future()


class Client(asyncio.Protocol):
    """One connection. All answers are equally long, as all requests are."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answer_bytes = 0
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Send the next request after the last byte of an answer."""
        if not self._answer_bytes:
            head, _, _ = data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                self._load.done.set_exception(RuntimeError(head.decode()))
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            self._answer_bytes = len(head) + 4 + length
        self._received += len(data)
        if self._received == self._answer_bytes:
            self._received = 0
            self._load.unanswered -= 1
            if self._load.unanswered == 0:
                self._load.done.set_result(None)
            self._send()

    def _send(self) -> None:
        if self._load.requests:
            self._transport.write(self._load.requests.pop())


async def wall_s(port: int, total: int) -> float:
    """Return the seconds from the first request to the last answer."""
    load = Load(total)
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    made = [await loop.create_connection(lambda: Client(load), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    await asyncio.wait_for(load.done, PATIENCE_S)
    seconds = time.perf_counter() - begun
    for transport, _ in made:
        transport.close()
    return seconds


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far; the first figure of schedstat, which is in nanoseconds."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def main() -> int:
    """Print the figures; return 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100_000)
    total = parser.parse_args().answers
    command = [sys.executable, "-m", "tidyllm", "simulate", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        port = int(process.stdout.readline().partition("127.0.0.1:")[2].partition("/")[0])
        before = cpu_s(process.pid)
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                seconds = runner.run(wall_s(port, total))
            cpu = cpu_s(process.pid) - before
        finally:
            process.send_signal(signal.SIGINT)
        print(process.stdout.read().strip())
    per_core = total / cpu
    print(f"{total} answers in {seconds:.2f} s: {total / seconds:.0f} answers/s as the load generator saw them")
    verdict = "held" if per_core >= BAR_PER_S else "MISSED"
    print(f"{cpu / total * 1e6:.1f} CPU us per answer: {per_core:.0f} answers/s and core  bar {BAR_PER_S}: {verdict}")
    return 0 if per_core >= BAR_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
