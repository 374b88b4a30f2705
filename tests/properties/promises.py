"""What the API has promised, remembered in plain Python: the files that are there, and how each batch must end."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tidyllm.core.batch import BatchStatus
from tidyllm.server.loops.worker import DEATHS_MAX
from tidyllm.server.states import MOVES

Told = dict[str, object]
"""A batch object as the API tells it."""

FIXED = ("id", "object", "endpoint", "input_file_id", "completion_window", "created_at", "expires_at", "metadata")
MOMENTS: dict[BatchStatus, frozenset[str]] = {
    BatchStatus.VALIDATING: frozenset(),
    BatchStatus.FAILED: frozenset({"failed_at"}),
    BatchStatus.IN_PROGRESS: frozenset({"in_progress_at"}),
    BatchStatus.FINALIZING: frozenset({"in_progress_at", "finalizing_at"}),
    BatchStatus.COMPLETED: frozenset({"in_progress_at", "finalizing_at", "completed_at"}),
    BatchStatus.EXPIRED: frozenset({"in_progress_at", "finalizing_at", "expired_at"}),
    BatchStatus.CANCELLING: frozenset({"cancelling_at"}),
    BatchStatus.CANCELLED: frozenset({"cancelling_at", "cancelled_at"}),
}
"""Which times each state has, spec/openai-batch 4.3; one that was cancelled may have been in progress before."""
TIMES = frozenset().union(*MOMENTS.values())
NEVER_RUN = {BatchStatus.CANCELLED: "batch_cancelled", BatchStatus.EXPIRED: "batch_expired"}


@dataclass(frozen=True)
class Line:
    """A request in an uploaded file."""

    number: int
    custom_id: str
    question: str


@dataclass(kw_only=True)
class File:
    """A file that the API has told of."""

    id: str
    expires_at: int | None
    purpose: str = "batch_output"
    lines: tuple[Line, ...] = ()
    problem: str | None = None
    """The code with which a batch of this file must fail."""
    deleted: bool = False

    def is_visible(self, now: int) -> bool:
        return not self.deleted and (self.expires_at is None or now < self.expires_at)


@dataclass(kw_only=True)
class Job:
    """A batch that the API has accepted, and what has been done to it since."""

    told: Told
    input: File | None
    """None where there was no such file when it was created."""
    cancelled: bool = False
    """A cancel was answered with 200."""
    lapsed: bool = False
    """The expirer came when its window had closed and it was not done."""
    lapsed_unread: bool = False
    deaths: Counter[int] = field(default_factory=Counter)
    """Of each line, workers that died while it was in flight."""
    returns: Counter[int] = field(default_factory=Counter)
    """Of each line, workers that stopped in good order and could not wait for its answer."""
    output: bytes = b""
    error: bytes = b""

    @property
    def id(self) -> str:
        return str(self.told["id"])

    @property
    def status(self) -> BatchStatus:
        return BatchStatus(self.told["status"])

    @property
    def counts(self) -> Counter[str]:
        return _numbers(self.told["request_counts"])

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.input.lines if self.input else ()

    def sends_allowed(self, line: int) -> int:
        """How often a line may have been sent: once, and again for each time that its answer was lost with a worker;
        one that was in flight when so many died is not tried again.
        """
        return 1 + min(self.deaths[line], DEATHS_MAX - 1) + self.returns[line]

    def expected_end(self) -> tuple[BatchStatus, str | None]:
        """How it must end, and with which problem."""
        if self.cancelled:
            return BatchStatus.CANCELLED, None
        if self.lapsed_unread:
            return BatchStatus.FAILED, "batch_expired"
        if self.input is None:
            return BatchStatus.FAILED, "invalid_request"
        if self.input.problem:
            return BatchStatus.FAILED, self.input.problem
        return (BatchStatus.EXPIRED if self.lapsed else BatchStatus.COMPLETED), None

    def hear(self, told: Told, *, now: int) -> None:
        """Compare what the API tells with what it told before; nothing but steps at this moment came between."""
        before, self.told = self.told, told
        if told == before:
            return
        was = BatchStatus(before["status"])
        assert not was.ended, f"It had ended as {before}, and now it is {told}"
        assert self.status is was or self.status in _reachable(was), f"{was} became {self.status}"
        assert [told[name] for name in FIXED] == [before[name] for name in FIXED]
        for name in TIMES:
            assert told[name] == (before[name] if before[name] is not None else told[name] and now), name
        for name in ("request_counts", "usage"):
            earlier = _numbers(before[name])
            assert all(count >= earlier[key] for key, count in _numbers(told[name]).items()), f"{before}, then {told}"
        self.check()

    def check(self) -> None:
        """Check that the object is whole: the states' table of spec/openai-batch 4.3."""
        told, status, counts = self.told, self.status, self.counts
        moments = {name for name in TIMES if told[name] is not None}
        was_started = "in_progress_at" in moments
        if status in {BatchStatus.CANCELLING, BatchStatus.CANCELLED}:
            moments.discard("in_progress_at")
        assert moments == MOMENTS[status], told
        assert counts["total"] == (len(self.lines) if was_started else 0), told
        assert counts["completed"] + counts["failed"] <= counts["total"], told
        unfinished = counts["total"] - counts["completed"]
        assert (told["output_file_id"] is not None) == (status.ended and counts["completed"] > 0), told
        assert (told["error_file_id"] is not None) == (status.ended and unfinished > 0), told
        assert (told["errors"] is not None) == (status is BatchStatus.FAILED), told
        if status is BatchStatus.COMPLETED:
            assert counts["completed"] + counts["failed"] == counts["total"], told
        if status.ended:
            assert (status, _problem(told)) == self.expected_end(), told

    def check_results(self) -> None:
        """Check that every line is in one of the two files exactly once, in input order, with its own answer."""
        output, error = _lines(self.output), _lines(self.error)
        place = {line.custom_id: line for line in self.lines}
        known = self.lines if self.counts["total"] else ()
        for results in (output, error):
            numbers = [place[str(result["custom_id"])].number for result in results]
            assert numbers == sorted(set(numbers)), numbers
        assert sorted(str(result["custom_id"]) for result in output + error) == sorted(one.custom_id for one in known)
        assert len({result["id"] for result in output + error}) == len(known)
        for result in output:
            _check_answer(result, place[str(result["custom_id"])].question)
        failed = sum(self._is_failed(result, place[str(result["custom_id"])]) for result in error)
        assert (self.counts["completed"], self.counts["failed"]) == (len(output), failed)
        assert _numbers(self.told["usage"])["input_tokens"] == sum(_prompt_tokens(result) for result in output)

    def _is_failed(self, result: Told, line: Line) -> bool:
        """Whether a line of the error file was asked in vain; otherwise it never ran."""
        if result["response"] is not None:
            assert result["error"] is None
            assert _inner(result, "response")["status_code"] == 500, result
            return True
        code = _inner(result, "error")["code"]
        if code == "worker_died":
            assert self.deaths[line.number] >= DEATHS_MAX, result
            return True
        assert code == NEVER_RUN.get(self.status), result
        return False


def _reachable(status: BatchStatus) -> set[BatchStatus]:
    found = set(MOVES[status])
    for following in MOVES[status]:
        found |= _reachable(following)
    return found


def _check_answer(result: Told, question: str) -> None:
    response = _inner(result, "response")
    assert (response["status_code"], result["error"]) == (200, None), result
    assert f'"content": "Simulated answer to: {question}"' in json.dumps(response["body"]), result


def _prompt_tokens(result: Told) -> int:
    usage = _inner(_inner(_inner(result, "response"), "body"), "usage")
    return int(str(usage["prompt_tokens"]))


def _problem(told: Told) -> str | None:
    problems = _inner(told, "errors").get("data") if told["errors"] else None
    return str(problems[0]["code"]) if isinstance(problems, list) else None


def _inner(of: Told, name: str) -> Told:
    value = of[name]
    assert isinstance(value, dict), of
    return value


def _numbers(value: object) -> Counter[str]:
    assert isinstance(value, dict)
    return Counter({name: number for name, number in value.items() if isinstance(number, int)})


def _lines(data: bytes) -> list[Told]:
    assert not data or data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def sends_allowed(jobs: Iterable[Job]) -> Counter[str]:
    """How often the model may have received each question: a file may be read by several batches."""
    allowed: Counter[str] = Counter()
    for job in jobs:
        for line in job.lines:
            allowed[line.question] += job.sends_allowed(line.number)
    return allowed
