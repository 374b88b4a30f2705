"""Sends the same job again and again in processes of their own, of which each is killed one step later than the last.

A step is a file of the job that is opened for writing or renamed, and the moments before and after the provider has
done what it was asked. After each death a healthy process sends the job again; how that ended is printed as JSON.
"""

import importlib
import json
import os
import pickle
import sys
from pathlib import Path

from tests.client.fake_api import FakeApi
from tidyllm import openai, send_batch
from tidyllm.client.calls import using
from tidyllm.core.clock import SystemClock
from tidyllm.core.wire import Request, Response
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys

KILLED = 9
STEPS_MAX = 100


class Doom:
    """Counts steps, and ends the process at one of them."""

    def __init__(self, home: Path, last: int) -> None:
        self._home = str(home)
        self._left = last
        sys.addaudithook(self._hear)

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(KILLED)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        written = event == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1])
        if (written or event == "os.rename") and str(arguments[0]).startswith(self._home):
            self.step()


class LastingApi(FakeApi):
    """A provider that remembers from process to process."""

    def __init__(self, memory: Path, doom: Doom | None) -> None:
        super().__init__(SystemClock())
        self._memory = memory
        self._doom = doom
        if memory.exists():
            self.files, self.batches = pickle.loads(memory.read_bytes())  # noqa: S301 - written below

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        self._step()
        response = await super().send(request, headers)
        self._memory.write_bytes(pickle.dumps((self.files, self.batches)))
        self._step()
        return response

    def _step(self) -> None:
        if self._doom is not None:
            self._doom.step()


class HastyClock(SystemClock):
    """A clock whose waits take no time: they end with its hands moved on."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return super().now() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self._ahead += seconds


def send(memory: Path, doom: Doom | None) -> None:
    transport = Transport(sender=LastingApi(memory, doom), keys=Keys("key"), clock=HastyClock())
    with using(transport):
        send_batch(["one", "two"], openai("m", api="chat_completions"), name="reviews")


def in_a_process(home: Path, memory: Path, last: int | None) -> int:
    """Return how a process ended that sent the job; `last` is the step at which it is killed."""
    child = os.fork()
    if child == 0:
        os.environ["TIDYLLM_HOME"] = str(home)
        send(memory, None if last is None else Doom(home, last))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path) -> None:
    # Loaded once, for all the processes to come.
    importlib.import_module("tidyllm.client.frame")
    outcomes = []
    for step in range(1, STEPS_MAX):
        home, memory = folder / f"{step}", folder / f"{step}.memory"
        if in_a_process(home, memory, step) != KILLED:
            break
        healed = in_a_process(home, memory, None)
        _, batches = pickle.loads(memory.read_bytes())  # noqa: S301 - written above
        outcomes.append({"step": step, "batches": len(batches), "job": "sent" if healed == 0 else f"exit {healed}"})
    print(json.dumps(outcomes))  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(Path(sys.argv[1]))
