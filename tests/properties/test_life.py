"""Whatever clients, duties, workers, time and crashes do, in whatever order: the API keeps what it has promised."""

import asyncio
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.properties.estate import Estate, InFlight, Troubles
from tests.properties.in_process import Answer
from tests.properties.promises import File, Job, Line, Told, sends_allowed
from tidyllm.core.batch import BatchStatus
from tidyllm.server.loop import Loop
from tidyllm.server.records import Ending, ShardReport

T = TypeVar("T")
ENDPOINT = "/v1/chat/completions"
HOUR_S, DAY_S, MONTH_S = 3600, 86_400, 31 * 86_400
WORKERS_MAX = 2
STEPS_TO_THE_END_MAX = 50

BAD_LINES = (
    ("invalid_json_line", b"no JSON at all"),
    ("invalid_url", b'{"custom_id": "bad", "method": "POST", "url": "/v1/x", "body": {"model": "m"}}'),
    ("missing_required_parameter", b'{"custom_id": "bad", "method": "POST"}'),
)
LINES = st.integers(1, 60)
WHICH = st.integers(0, 30)
"""Which of the files, batches or workers that there are."""
TURNS = st.integers(0, 40)
"""Turns of the loop before a worker dies amid its work."""
ROUNDS = st.integers(0, 3)
"""Of answers that a worker gets before it ends."""
KEEP_S = st.sampled_from([None, None, None, HOUR_S])
REFUSED: tuple[tuple[Told, str], ...] = (
    ({"endpoint": None}, "endpoint"),
    ({"completion_window": "1h"}, "completion_window"),
    ({"metadata": {"run": 1}}, "metadata.run"),
    ({"colour": "red"}, "colour"),
)


class Life(RuleBasedStateMachine):
    """One server's life. A step ends when all workers are at rest; then what the API tells is compared."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.runner = self.stack.enter_context(asyncio.Runner())
        self.troubles = Troubles()
        self.runner.get_loop().set_exception_handler(self.troubles.hear)
        logging.getLogger("tidyllm").addHandler(self.troubles)
        self.stack.callback(logging.getLogger("tidyllm").removeHandler, self.troubles)
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.estate = Estate(Path(folder) / "data")
        self.files = [File(id="file-unknown", expires_at=None, purpose="batch", deleted=True)]
        self.jobs: list[Job] = []
        self.received: Counter[str] = Counter()
        """How often each question had been received at the end of the last step."""
        self.running: set[str] = set()
        """The questions of batches that were in progress then."""

    # What a client does

    @initialize(lines=LINES, under_way=st.sampled_from([True, True, False]))
    def begin(self, lines: int, *, under_way: bool) -> None:
        self.upload(lines=lines, blank=False, keep_s=None)
        self.create(which=1, output_keep_s=None, read=under_way)
        if under_way:
            self.start_a_worker()

    @rule(lines=LINES, blank=st.booleans(), keep_s=KEEP_S)
    def upload(self, lines: int, *, blank: bool, keep_s: int | None) -> None:
        requests, texts = self.requests(lines, apart=1 + blank)
        self.keep(texts, lines=requests, keep_s=keep_s)

    @rule(lines=LINES, bad=st.sampled_from(BAD_LINES), where=WHICH)
    def upload_with_a_bad_line(self, lines: int, *, bad: tuple[str, bytes], where: int) -> None:
        requests, texts = self.requests(lines, apart=1)
        code, text = bad
        texts.insert(where, text + b"\n")
        if where or code != "invalid_json_line":
            self.keep(texts, lines=requests, problem=code)
            return
        answer = self.do(self.estate.api.upload(b"".join(texts), {"purpose": "batch"}))
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")

    @rule(which=WHICH, output_keep_s=KEEP_S, read=st.booleans())
    def create(self, which: int, *, output_keep_s: int | None, read: bool) -> None:
        file = pick([file for file in self.files if file.purpose == "batch"], which)
        fields: Told = {"input_file_id": file.id}
        if output_keep_s:
            fields["output_expires_after"] = {"anchor": "created_at", "seconds": output_keep_s}
        answer = self.ask_for_batch(fields)
        assert answer.status == 200, answer
        assert (answer.json["status"], answer.json["created_at"]) == ("validating", self.now)
        self.jobs.append(Job(told=answer.json, input=file if file.is_visible(self.now) else None))
        self.jobs[-1].check()
        if read:
            self.until_idle(self.estate.house.intake)

    @rule(which=WHICH, refused=st.sampled_from(REFUSED))
    def create_with_wrong_parameters(self, which: int, *, refused: tuple[Told, str]) -> None:
        changed, param = refused
        answer = self.ask_for_batch({"input_file_id": pick(self.files, which).id, **changed})
        assert (answer.status, answer.error["param"]) == (400, param)

    @rule(which=WHICH)
    def create_of_a_result_file(self, which: int) -> None:
        # No precondition: whether there is one hangs on how fast the disk is, and Hypothesis wants the same each time.
        if not (results := self.results()):
            return
        answer = self.ask_for_batch({"input_file_id": pick(results, which).id})
        assert (answer.status, answer.error["param"]) == (400, "input_file_id")

    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        job = pick(self.jobs, which)
        was = job.status
        answer = self.do(self.estate.api.post(f"/v1/batches/{job.id}/cancel"))
        if was in {BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS, BatchStatus.CANCELLING, BatchStatus.CANCELLED}:
            assert answer.status == 200
            job.cancelled = True
            job.hear(answer.json, now=self.now)
        else:
            assert (answer.status, answer.error["type"]) == (409, "invalid_request_error")

    @rule(which=WHICH, pruned=st.booleans())
    def delete(self, which: int, *, pruned: bool) -> None:
        file = pick(self.files, which)
        answer = self.do(self.estate.api.delete(f"/v1/files/{file.id}"))
        assert answer.status == (200 if file.is_visible(self.now) else 404)
        file.deleted = True
        for path in (f"/v1/files/{file.id}", f"/v1/files/{file.id}/content"):
            assert self.do(self.estate.api.get(path)).status == 404
        if pruned:
            self.prune()

    # What the clerk does

    @rule(seconds=st.sampled_from([1, 6, 6, HOUR_S, HOUR_S, DAY_S, MONTH_S]))
    def let_time_pass(self, seconds: int) -> None:
        self.estate.clock.advance(seconds)

    @rule()
    def read_an_input(self) -> None:
        self.do(self.estate.house.intake.run_once())

    @rule()
    def finish(self) -> None:
        self.do(self.estate.house.finisher.run_once())

    @rule()
    def finish_after_another(self) -> None:
        """The slower of two finishers comes too late with what it has written, or dies: it was the same."""
        endings = self.do(self.estate.finish_without_publishing())
        written = [self.bytes_of(ending) for ending in endings]
        self.compare()
        assert self.do(self.estate.house.finisher.run_once()) == bool(endings)
        self.compare()
        for ending, (output, error) in zip(endings, written, strict=True):
            job = next(job for job in self.jobs if job.id == ending.batch_id)
            assert (job.status, job.output, job.error) == (ending.status, output, error)
            assert not self.do(self.estate.house.ask(lambda store: store.publish(ending, now=self.now)))  # noqa: B023

    @rule()
    def expire(self) -> None:
        for job in self.jobs:
            if self.now >= int(str(job.told["expires_at"])):
                job.lapsed |= job.status is BatchStatus.IN_PROGRESS
                job.lapsed_unread |= job.status is BatchStatus.VALIDATING
        self.do(self.estate.house.expirer.run_once())

    @rule()
    def rescue(self) -> None:
        self.do(self.estate.house.rescuer.run_once())
        assert set(self.do(self.estate.house.ask(lambda store: store.live_workers()))) == self.estate.living.keys()

    @rule()
    def prune(self) -> None:
        self.do(self.estate.house.pruner.run_once())
        gone = {file.id for file in self.files if not file.is_visible(self.now)} - self.inputs_in_use()
        assert not gone & set(map(file_of, self.estate.blobs() - self.estate.unpublished))

    @rule(crash=st.sampled_from(["before an upload", "in an upload", "after an upload", "in a finish"]))
    def restart(self, crash: str) -> None:
        """Start the API and the clerk anew, after a crash that left what nobody knows of."""
        if crash == "in a finish":
            self.do(self.estate.finish_without_publishing())
        elif crash != "before an upload":
            self.estate.die_in_an_upload(committed=crash == "after an upload")
        self.estate.close()
        self.estate.open()

    # What workers do

    @precondition(lambda self: len(self.estate.living) < WORKERS_MAX)
    @rule()
    def start_a_worker(self) -> None:
        self.do(self.estate.start_worker())

    @precondition(lambda self: len(self.estate.living) < WORKERS_MAX)
    @rule(turns=TURNS)
    def start_a_worker_that_dies_soon(self, turns: int) -> None:
        async def live_shortly() -> None:
            await self.bury(await self.estate.start_worker(), turns=turns)

        self.do(live_shortly())

    @rule(rounds=st.integers(1, 4))
    def answer(self, rounds: int) -> None:
        """What is in flight is answered, and what is sent then, and so on."""
        for _ in range(rounds):
            for living in self.estate.living.values():
                living.answer()
            self.do(self.estate.rest())

    @rule(which=WHICH, rounds=ROUNDS, turns=st.none() | TURNS, heirs=st.integers(0, 3))
    def kill(self, which: int, *, rounds: int, turns: int | None, heirs: int) -> None:
        """A worker dies, waiting for answers or amid them, and so do its heirs but the last.

        The last words of each arrive when its heir has taken over.
        """
        worker_id = self.worker(which, rounds=rounds)
        if turns is not None:
            self.estate.living[worker_id].answer()
        last_words = self.do(self.bury(worker_id, turns=turns or 0))
        for heir in range(1, heirs + 1):
            self.rescue()
            self.start_a_worker()
            self.compare()
            self.hear_the_dead(last_words)
            if heir < heirs:
                last_words = self.do(self.bury(list(self.estate.living)[-1], turns=0))

    @rule(which=WHICH, rounds=ROUNDS, patient=st.booleans())
    def stop(self, which: int, *, rounds: int, patient: bool) -> None:
        living = self.estate.living.pop(self.worker(which, rounds=rounds))
        self.remember(self.do(living.stop(patient=patient)), died=False)

    # What must be true

    @invariant()
    def compare(self) -> None:
        """Look at all that the API tells, and at what only the disk and the model know."""
        self.do(self.estate.rest())
        told = self.do(self.estate.api.get("/v1/batches?limit=100")).items()
        assert [batch["id"] for batch in told] == [job.id for job in reversed(self.jobs)]
        for job, batch in zip(reversed(self.jobs), told, strict=True):
            had_ended = job.status.ended
            job.hear(batch, now=self.now)
            if job.status.ended and not had_ended:
                self.check_grace(job)
                self.take_results(job)
        self.look_at_files()
        self.look_at_questions()
        assert not self.troubles.told

    def look_at_files(self) -> None:
        visible = {file.id for file in self.files if file.is_visible(self.now)}
        assert {file["id"] for file in self.do(self.estate.api.get("/v1/files")).items()} == visible
        assert visible | self.inputs_in_use() <= set(map(file_of, self.estate.blobs()))

    def look_at_questions(self) -> None:
        received = self.estate.received()
        asked_too_often = received - sends_allowed(self.jobs)
        assert not asked_too_often
        running = {line.question for job in self.jobs if job.status is BatchStatus.IN_PROGRESS for line in job.lines}
        asked_without_a_batch = (received - self.received).keys() - running - self.running
        assert not asked_without_a_batch
        self.received, self.running = received, running

    def check_grace(self, job: Job) -> None:
        """What a living worker waits for may come until the grace has passed."""
        if any(batch_id == job.id for living in self.estate.living.values() for batch_id, _ in living.in_flight):
            stopped_at = job.told["cancelling_at"] or job.told["finalizing_at"]
            assert self.now > int(str(stopped_at)) + self.estate.house.settings.cancel_grace_s, job.told

    def take_results(self, job: Job) -> None:
        """Read the files of a batch that has just ended, and remember them."""
        job.output = self.result(job.told["output_file_id"])
        job.error = self.result(job.told["error_file_id"])
        job.check_results()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.end()
        finally:
            self.do(self.estate.pull_down())
            self.stack.close()

    def end(self) -> None:
        """Let everything come to its end, and look at what is left."""
        for _ in range(STEPS_TO_THE_END_MAX):
            if all(job.status.ended for job in self.jobs):
                break
            self.go_on()
        assert all(job.status.ended for job in self.jobs), [job.told for job in self.jobs]
        for job in self.jobs:
            for file_id, content in ((job.told["output_file_id"], job.output), (job.told["error_file_id"], job.error)):
                if any(file.id == file_id and file.is_visible(self.now) for file in self.files):
                    assert self.content(file_id) == content
        for worker_id in list(self.estate.living):
            self.do(self.bury(worker_id, turns=0))
        self.rescue()
        self.restart("before an upload")
        self.until_idle(self.estate.house.pruner)
        assert not self.estate.leavings()
        assert sorted(map(file_of, self.estate.blobs())) == sorted(
            file.id for file in self.files if file.is_visible(self.now)
        )

    def go_on(self) -> None:
        """Do what brings every batch nearer to its end."""
        house = self.estate.house
        if not self.estate.living:
            self.start_a_worker()
        self.rescue()
        for duty in (house.intake, house.finisher):
            self.until_idle(duty)
            self.compare()
        self.answer(rounds=4)
        self.compare()

    # Helpers

    @property
    def now(self) -> int:
        return int(self.estate.clock.now())

    def do(self, work: Coroutine[object, object, T]) -> T:
        return self.runner.run(work)

    def until_idle(self, duty: Loop) -> None:
        while self.do(duty.run_once()):
            pass

    def requests(self, lines: int, *, apart: int) -> tuple[tuple[Line, ...], list[bytes]]:
        """Make the lines of a file, with a blank one between them where they are two apart."""
        made = tuple(Line(1 + n * apart, f"row-{n}", f"question {n} of file {len(self.files)}") for n in range(lines))
        texts = []
        for line in made:
            body = {"model": "m", "messages": [{"role": "user", "content": line.question}]}
            request = {"custom_id": line.custom_id, "method": "POST", "url": ENDPOINT, "body": body}
            texts.append(json.dumps(request).encode() + b"\n" * apart)
        return made, texts

    def keep(
        self, texts: list[bytes], *, lines: tuple[Line, ...], problem: str | None = None, keep_s: int | None = None
    ) -> None:
        fields = {"purpose": "batch"}
        if keep_s is not None:
            fields |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(keep_s)}
        answer = self.do(self.estate.api.upload(b"".join(texts), fields))
        assert answer.status == 200, answer
        expires_at = self.now + (keep_s or self.estate.house.settings.file_retention_s)
        assert answer.json["expires_at"] == expires_at
        assert self.content(answer.json["id"]) == b"".join(texts)
        self.files.append(
            File(id=str(answer.json["id"]), expires_at=expires_at, purpose="batch", lines=lines, problem=problem)
        )

    def ask_for_batch(self, fields: Told) -> Answer:
        """Ask for a batch with these fields changed; without those that are None."""
        asked = {"endpoint": ENDPOINT, "completion_window": "24h", **fields}
        return self.do(self.estate.api.post("/v1/batches", {k: v for k, v in asked.items() if v is not None}))

    def results(self) -> list[File]:
        return [file for file in self.files if file.purpose != "batch" and file.is_visible(self.now)]

    def worker(self, which: int, *, rounds: int) -> str:
        """Return the id of a worker that has what work there is, and has had so many rounds of answers."""
        self.rescue()
        self.until_idle(self.estate.house.intake)
        if not self.estate.living:
            self.start_a_worker()
        self.compare()
        self.answer(rounds)
        return pick(list(self.estate.living), which)

    def hear_the_dead(self, last_words: list[ShardReport]) -> None:
        """A report with an old epoch changes nothing, whoever brings it."""
        leases = self.estate.leases()
        for bringer in self.estate.living:
            self.do(self.estate.house.ask(lambda store: store.report(bringer, last_words)))  # noqa: B023
        assert self.estate.leases() == leases

    async def bury(self, worker_id: str, *, turns: int) -> list[ShardReport]:
        """Kill a worker after so many turns of the loop, and return what it could have said last."""
        living = self.estate.living.pop(worker_id)
        for _ in range(turns):
            await asyncio.sleep(0)
        last_words = living.reports()
        self.remember(await living.die(), died=True)
        return last_words

    def remember(self, in_flight: InFlight, *, died: bool) -> None:
        note(f"in flight: {sorted(in_flight)}")
        jobs = {job.id: job for job in self.jobs}
        for batch_id, line in in_flight:
            (jobs[batch_id].deaths if died else jobs[batch_id].returns)[line] += 1

    def content(self, file_id: object) -> bytes:
        answer = self.do(self.estate.api.get(f"/v1/files/{file_id}/content"))
        assert answer.status == 200, answer
        return answer.body

    def result(self, file_id: object) -> bytes:
        """Read a new result file, and know it from now on."""
        if file_id is None:
            return b""
        shape = self.do(self.estate.api.get(f"/v1/files/{file_id}")).json
        content = self.content(file_id)
        assert (shape["purpose"], shape["bytes"], shape["created_at"]) == ("batch_output", len(content), self.now)
        self.files.append(File(id=str(file_id), expires_at=int(str(shape["expires_at"]))))
        return content

    def bytes_of(self, ending: Ending) -> tuple[bytes, bytes]:
        """Read what a finisher has written and not published."""
        written = {file.id: self.estate.house.blobs.path(file.blob).read_bytes() for file in ending.files}
        return written.get(ending.output_file_id or "", b""), written.get(ending.error_file_id or "", b"")

    def inputs_in_use(self) -> set[str]:
        return {job.input.id for job in self.jobs if job.input and not job.status.ended}


def file_of(blob: str) -> str:
    """Return the id of the file whose bytes these are."""
    return blob.partition(".")[0]


def pick(some: Sequence[T], which: int) -> T:
    return some[which % len(some)]


def test_whatever_happens_the_api_keeps_its_promises() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            # An example is a whole server, with waits for the disk.
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
