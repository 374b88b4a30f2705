"""A real server for crash runs: started as a user starts it, and killed in every way that there is."""

import contextlib
import functools
import logging
import os
import random
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from tests.crash.child import DATA, SHADOW
from tests.crash.lossy import LossyDisk, cut_power
from tidyllm.journal import first_answers
from tidyllm.server.places import batch_journals, journals_folder, worker_locks
from tidyllm.server.serve import run
from tidyllm.server.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
ROUNDS_MAX = 100


def main() -> int:
    """Serve as the environment says, each process with `tests.crash.child` for its main program."""
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s serve[{os.getpid()}] %(levelname)s %(message)s")
    return run(load_settings({}), functools.partial(print, flush=True), child=("-m", "tests.crash.child"))


class Serving:
    """One data folder and the server on it, through all its lives."""

    def __init__(self, home: Path, settings: dict[str, object], *, lossy: bool) -> None:
        self.data = home / "data"
        self.log = home / "server.log"
        self.ready = threading.Event()
        """Set when the server of this life has said where it serves."""
        self.address: tuple[str, int] | None = None
        self._shadow = home / "shadow" if lossy else None
        self._process: subprocess.Popen[str] | None = None
        self._environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", DATA: str(self.data)}
        self._environ |= {f"TIDYLLM_{name.upper()}": str(value) for name, value in settings.items()}
        self.data.mkdir(parents=True)
        if self._shadow is not None:
            LossyDisk(self.data, self._shadow)  # Made here, where nobody is killed meanwhile.
            self._environ[SHADOW] = str(self._shadow)

    @property
    def pid(self) -> int:
        """Of the process that keeps the others alive."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start a server; it is `ready` later."""
        self.address, self.ready = None, threading.Event()
        command = [sys.executable, "-m", "tests.crash.serving"]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environ, cwd=self.data.parent
            )
        self._listener = threading.Thread(target=self._listen, args=(self._process, self.ready), daemon=True)
        self._listener.start()

    def _listen(self, process: "subprocess.Popen[str]", ready: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if found := re.search(r"http://([^/]+):(\d+)/", line):
                    self.address = (found[1], int(found[2]))
                    ready.set()

    def wait_ready(self) -> None:
        """Wait until this life of the server is ready."""
        if not self.ready.wait(DEADLINE_S):
            raise AssertionError(f"the server was not ready within {DEADLINE_S:g} s")

    def stop(self) -> int:
        """Stop the server in good order and return its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._wait()

    def exit_code(self) -> int | None:
        """Return how the server has ended, if it has."""
        assert self._process is not None
        return self._process.poll()

    def processes(self) -> set[int]:
        """Return the living processes on this data folder, orphans of an earlier life included."""
        return {int(folder.name) for folder in Path("/proc").glob("[0-9]*") if self._is_ours(folder)}

    def _is_ours(self, folder: Path) -> bool:
        # A dead process that nobody has waited for has an empty environment.
        with contextlib.suppress(OSError):
            return f"{DATA}={self.data}".encode() in (folder / "environ").read_bytes().split(b"\0")
        return False

    def workers(self) -> dict[int, str]:
        """Return the worker of each process that holds, or held when it died, a worker's lock."""
        found = {}
        for worker_id, lock in worker_locks(self.data).items():
            with contextlib.suppress(OSError, ValueError):
                found[int(lock.read_text())] = worker_id
        return found

    def kill(self, pids: Iterable[int]) -> int:
        """Kill processes; return how many of them were workers."""
        before = self.workers()
        killed = end_processes(pids)
        return len(killed & (before.keys() | self.workers().keys()))

    def kill_supervisor(self) -> None:
        """Kill the process that keeps the others alive; they will stop when they notice."""
        end_processes([self.pid])
        self._wait()

    def kill_all(self) -> int:
        """Kill every process; return how many of them were workers."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)  # So that it starts none of them again.
        workers = 0
        for _ in range(ROUNDS_MAX):
            rest = self.processes()
            if not rest:
                break
            workers += self.kill(rest - {self.pid} or rest)
        else:
            raise AssertionError(f"processes that cannot be killed: {sorted(self.processes())}")
        self._wait()
        return workers

    def _wait(self) -> int:
        assert self._process is not None
        code = self._process.wait(DEADLINE_S)
        self._listener.join(DEADLINE_S)
        return code

    def cut_power(self, rng: random.Random, *, harsh: bool) -> int:
        """Take what was not durable, once all is dead; return how many lines lost the answer that was written."""
        assert self._shadow is not None
        before = self._answered()
        cut_power(self.data, self._shadow, rng, harsh=harsh)
        return len(before - self._answered())

    def _answered(self) -> set[tuple[str, int]]:
        answered: set[tuple[str, int]] = set()
        folder = journals_folder(self.data)
        for batch in folder.iterdir() if folder.exists() else ():
            answered |= {(batch.name, line) for line in first_answers(batch_journals(self.data, batch.name))}
        return answered


def end_processes(pids: Iterable[int]) -> set[int]:
    """Kill processes and wait until they are dead; return which of them were alive."""
    opened: dict[int, int] = {}
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                opened[pid] = os.pidfd_open(pid)
                signal.pidfd_send_signal(opened[pid], signal.SIGKILL)
        for pid, fd in opened.items():
            readable, _, _ = select.select([fd], [], [], DEADLINE_S)
            assert readable, f"process {pid} does not die"
    finally:
        for fd in opened.values():
            os.close(fd)
    return set(opened)


if __name__ == "__main__":
    sys.exit(main())
