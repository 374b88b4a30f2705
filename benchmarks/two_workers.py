"""How long two workers take for a batch of slow requests, upload to completed, next to the ideal and to a bare loop."""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import openai

from tidyllm.core.wire import Request
from tidyllm.testing import Behavior, simulated_model
from tidyllm.transport.http import HttpClient

LATENCY_S = 1.0
WORKERS = 2
SLOTS = 64
BAR = 1.25
"""Times the ideal: lines / slots x latency."""
POLL_S = 0.02


def body(number: int) -> dict[str, object]:
    """Return one request's body."""
    return {"model": "m", "messages": [{"role": "user", "content": f"question {number}"}]}


def bare_loop_s(base_url: str, lines: int) -> float:
    """Return how long the same requests take without a server in between."""

    async def run() -> float:
        client = HttpClient()
        numbers = iter(range(lines))
        answered: list[bool] = []

        async def slot() -> None:
            for number in numbers:
                data = json.dumps(body(number)).encode()
                answer = await client.send(
                    Request(method="POST", url=f"{base_url}/chat/completions", headers=(), body=data), ()
                )
                answered.append(answer.ok)

        began = time.monotonic()
        await asyncio.gather(*[slot() for _ in range(WORKERS * SLOTS)])
        took = time.monotonic() - began
        await client.close(wait_s=1)
        if sum(answered) < lines:
            raise SystemExit(f"Only {sum(answered)} of {lines} requests were answered well.")
        return took

    return asyncio.run(run())


@contextmanager
def serving(base_url: str, data: Path) -> Iterator[openai.OpenAI]:
    """Run a server in front of the model; yield a client of it."""
    command = [sys.executable, "-m", "tidyllm", "serve", "--port", "0", "--data", str(data), "--upstream", base_url]
    command += ["--workers", str(WORKERS), "--concurrency", str(SLOTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        try:
            found = process.stdout and re.search(r"http://\S+", process.stdout.readline())
            if not found:
                raise SystemExit("The server did not start.")
            yield openai.OpenAI(base_url=found[0], api_key="any")
        finally:
            process.terminate()


def batch_s(client: openai.OpenAI, lines: int) -> float:
    """Return how long a batch takes, from the begin of its upload until it is seen to be completed."""
    line = {"method": "POST", "url": "/v1/chat/completions"}
    content = b"".join(
        json.dumps({"custom_id": f"row-{number}", **line, "body": body(number)}).encode() + b"\n"
        for number in range(lines)
    )
    began = time.monotonic()
    file = client.files.create(file=("in.jsonl", BytesIO(content)), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    while batch.status != "completed":
        time.sleep(POLL_S)
        batch = client.batches.retrieve(batch.id)
    return time.monotonic() - began


def main() -> int:
    """Print both times and their ratios; return 0 if the bar is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=500)
    lines = parser.parse_args().lines
    ideal = lines / (WORKERS * SLOTS) * LATENCY_S
    with simulated_model(Behavior(latency_ms=LATENCY_S * 1000)) as model, tempfile.TemporaryDirectory() as folder:
        bare = bare_loop_s(model.base_url, lines)
        with serving(model.base_url, Path(folder)) as client:
            took = batch_s(client, lines)
    print(f"{lines} requests of {LATENCY_S:g} s, {WORKERS} workers of {SLOTS} slots: ideal {ideal:.2f} s")
    print(f"  bare loop of the HTTP client     {bare:5.2f} s   {bare / ideal:.2f} x the ideal")
    print(f"  server, upload to completed      {took:5.2f} s   {took / ideal:.2f} x the ideal (bar {BAR})")
    print(f"  server to bare loop              {took / bare:5.2f} x")
    return 0 if took <= BAR * ideal else 1


if __name__ == "__main__":
    sys.exit(main())
