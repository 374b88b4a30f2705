"""Runs a script of batches in processes of their own, of which each is killed one step later than the last.

A step is a file of the job that is opened for writing or renamed, and the moments before and after the provider has
done what it was asked, where that changes anything there. After each death a healthy process runs the same script from
its beginning; what it came to is printed as JSON, and before all what it comes to where nobody dies.
"""

import contextlib
import importlib
import json
import os
import pickle
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import polars as pl

import tidyllm as tl
from tests.lifecycle.clock import HastyClock
from tests.lifecycle.fakes import ENDS, BatchFake
from tests.lifecycle.fate import FAILED, OK, VECTOR, Fate
from tidyllm.client.calls import using
from tidyllm.core.limits import BatchLimits
from tidyllm.core.wire import Request, Response
from tidyllm.provider import Model, find_provider
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

KILLED = 9
STEPS_MAX = 200
_LOOKS = 2
"""So often a batch is looked at before it has ended."""


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


class LastingProvider:
    """A fake that remembers from process to process, and whose batches end at the second look at them.

    A row that says so fails the first time that it is sent.
    """

    def __init__(self, fake: BatchFake, memory: Path, doom: Doom | None) -> None:
        self._fake = fake
        self._memory = memory
        self._doom = doom
        self._looks: Counter[str] = Counter()
        if memory.exists():
            kept, self._looks = pickle.loads(memory.read_bytes())  # noqa: S301 - written below
            vars(fake).update(kept)

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        self._step(request)
        self._end_what_was_looked_at()
        response = await self._fake.send(request, headers)
        if self._fake.asked[-1] == "get":
            self._looks[request.url.rpartition("/")[2]] += 1
        kept = {name: value for name, value in vars(self._fake).items() if name != "clock"}
        self._memory.write_bytes(pickle.dumps((kept, self._looks)))
        self._step(request)
        return response

    def _end_what_was_looked_at(self) -> None:
        before: set[int] = set()
        for batch_id, kept in self._fake.batches.items():
            numbers = [_number(custom_id) for custom_id, _ in kept.requests]
            looked = self._looks[batch_id.rpartition("/")[2]] >= _LOOKS
            if looked and kept.status not in ENDS:
                fates = {
                    custom_id: _fate(kept.path, body, is_new=number not in before)
                    for number, (custom_id, body) in zip(numbers, kept.requests, strict=True)
                }
                self._fake.end(batch_id, fates)
            before.update(numbers)

    def _step(self, request: Request) -> None:
        if self._doom is not None and request.method != "GET":
            self._doom.step()


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What is done, and with whom."""

    provider: str
    script: Callable[[Model], pl.DataFrame]
    before: Callable[[Model], object] | None = None
    """What was done on another day, whose processes nobody has killed."""
    embeds: bool = False
    requests_max: int = 100
    """How many rows go into one batch."""

    @property
    def fake(self) -> BatchFake:
        found: type[BatchFake] = importlib.import_module(f"tests.lifecycle.{self.provider}").FAKE
        return found(HastyClock())

    @property
    def model(self) -> Model:
        limits = BatchLimits(requests_max=self.requests_max, input_bytes_max=1_000_000)
        provider = msgspec.structs.replace(find_provider(self.provider), batch_limits=limits)
        return provider(self.fake.embed_model if self.embeds else self.fake.model)


def sent_and_fetched(model: Model) -> pl.DataFrame:
    job = tl.send_batch(["one", "two", "three"], model, name="job")
    tl.wait_batch(job)
    return tl.fetch_batch(job)


def embedded_and_fetched(model: Model) -> pl.DataFrame:
    job = tl.send_batch(["one", "two", "three"], model, name="job", embed="prompt")
    tl.wait_batch(job)
    return tl.fetch_batch(job)


def sent_bit_by_bit(model: Model) -> pl.DataFrame:
    # Each row has some 30 tokens: one batch may wait at a time.
    job = tl.send_batch(["one", "two"], model, name="job", queue_tokens=60)
    tl.wait_batch(job)
    return tl.fetch_batch(job)


def failing(model: Model) -> None:
    tl.wait_batch(tl.send_batch(["one", "two fails", "three fails"], model, name="job"))


def sent_again(model: Model) -> pl.DataFrame:
    tl.retry_batch("job", model)
    tl.wait_batch("job", model)
    return tl.fetch_batch("job", model)


def given_up(model: Model) -> None:
    tl.cancel_batch(tl.send_batch(["one", "two"], model, name="job", queue_tokens=60))
    tl.wait_batch("job", model)


CASES: Mapping[str, Case] = {
    "three batches": Case(provider="openai", script=sent_and_fetched, requests_max=1),
    "vectors": Case(provider="openai", script=embedded_and_fetched, embeds=True),
    "bit by bit": Case(provider="openai", script=sent_bit_by_bit),
    "sent again": Case(provider="openai", before=failing, script=sent_again, requests_max=2),
    "sent after all": Case(provider="openai", before=given_up, script=sent_again),
    "no notes, two batches": Case(provider="claude", script=sent_and_fetched, requests_max=2),
    "no notes, sent again": Case(provider="claude", before=failing, script=sent_again),
    "gemini": Case(provider="gemini", script=sent_and_fetched),
    "mistral": Case(provider="mistral", script=sent_and_fetched),
    "openrouter": Case(provider="openrouter", script=sent_and_fetched),
}


def run(case: Case, memory: Path, doom: Doom | None) -> None:
    """Run the script once, and keep what it came to."""
    fake = case.fake
    with _sending_to(fake, memory, doom):
        table = case.script(case.model)
    told = {
        "batches": len(fake.batches),
        "sent": sorted(_number(custom_id) for kept in fake.batches.values() for custom_id, _ in kept.requests),
        "status": table["llm_status"].to_list(),
    }
    memory.with_suffix(".told").write_text(json.dumps(told))
    memory.with_suffix(".modules").write_text(json.dumps(list(sys.modules)))


def prepare(case: Case, memory: Path) -> None:
    """Do what was done on another day."""
    if case.before is not None:
        with _sending_to(case.fake, memory, None):
            case.before(case.model)


def in_a_process(home: Path, work: Callable[[], None]) -> int:
    """Return how a process ended that did this."""
    child = os.fork()
    if child == 0:
        os.environ["TIDYLLM_HOME"] = str(home)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcome(home: Path, code: int) -> object:
    """Return what a script came to, or how it ended."""
    return json.loads(home.with_suffix(".told").read_text()) if code == 0 else f"exit {code}"


def main(folder: Path, case: Case) -> None:
    outcomes = []
    prepared, first = folder / "prepared", folder / "prepared.memory"
    in_a_process(prepared, lambda: prepare(case, first))
    for step in range(STEPS_MAX):
        home, memory = folder / f"step-{step}", folder / f"step-{step}.memory"
        if case.before is not None:
            shutil.copytree(prepared, home)
            shutil.copy(first, memory)
        # Step 0: nobody dies.
        if step and in_a_process(home, lambda: run(case, memory, Doom(home, step))) != KILLED:  # noqa: B023
            break
        outcomes.append(outcome(home, in_a_process(home, lambda: run(case, memory, None))))  # noqa: B023
        if not step:
            _load(home)
    print(json.dumps(outcomes))  # noqa: T201 - the test reads it


@contextlib.contextmanager
def _sending_to(fake: BatchFake, memory: Path, doom: Doom | None) -> Iterator[None]:
    sender = LastingProvider(fake, memory, doom)
    once = RetryPolicy(attempts_max=1)
    with using(Transport(sender=sender, keys=Keys("key"), retry=once, clock=fake.clock)):
        yield


def _load(home: Path) -> None:
    """Load what the first process has loaded, once for all the processes to come."""
    for name in json.loads(home.with_suffix(".modules").read_text()):
        if name not in sys.modules:
            with contextlib.suppress(ImportError):  # A part of a compiled module came with that.
                importlib.import_module(name)


def _number(custom_id: str) -> int:
    return int(custom_id.rpartition("-")[2])


def _fate(path: str, body: Mapping[str, object], *, is_new: bool) -> Fate:
    if "embed" in path:
        return VECTOR([1.0, 2.0])
    return FAILED(500, "Sorry.") if is_new and "fails" in json.dumps(body) else OK("Yes.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), CASES[sys.argv[2]])
