"""What a server must have kept after any number of crashes, as questions to what is left when it has stopped."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from tests.crash.asking import Asking, Shape
from tests.crash.traffic import ENDED, HALF, SUFFIX, Submission, Watch
from tidyllm.server.places import blobs_folder, journals_folder, worker_locks
from tidyllm.testing import KeyCounts

DEATHS_MAX = 3
"""Workers that die over a line before it is given up."""
WORKER_DIED = "worker_died"
NEVER_RUN = "batch_cancelled"


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What the API shows at the end."""

    batches: Mapping[str, Shape]
    files: Mapping[str, Shape]
    contents: Mapping[str, bytes]
    """Of every file."""


class Waste(msgspec.Struct, frozen=True, kw_only=True):
    """What the model was asked in vain."""

    sent_again: int = 0
    """Requests that it received for a text that it had received before."""
    unused: int = 0
    """Requests that it received and whose answer is in no output file: those, and what was answered to nobody."""
    given_up: int = 0
    """Lines that no worker was to die for again."""

    def __add__(self, other: "Waste") -> "Waste":
        """Return both in one."""
        return Waste(
            sent_again=self.sent_again + other.sent_again,
            unused=self.unused + other.unused,
            given_up=self.given_up + other.given_up,
        )


def what_is_left(asking: Asking) -> Left:
    """Return all that the API shows."""
    files = {file["id"]: file for file in asking.all_of("/v1/files")}
    return Left(
        batches={batch["id"]: batch for batch in asking.all_of("/v1/batches")},
        files=files,
        contents={file_id: asking.content(file_id) for file_id in files},
    )


def broken_promises(
    left: Left, submissions: Sequence[Submission], *, watch: Watch, asked: Mapping[str, KeyCounts]
) -> Iterator[str]:
    """Yield what does not hold, in words."""
    yield from watch.violations
    yield from _changed_ends(left, watch)
    yield from _creations(left, submissions)
    yield from _files(left, submissions)
    by_token = {one.token: one for one in submissions}
    for batch in left.batches.values():
        submission = by_token.get((batch["metadata"] or {}).get("token", ""))
        if submission is None:
            yield f"{batch['id']} was never asked for"
        else:
            for wrong in _results(left, batch, submission=submission, asked=asked):
                yield f"{batch['id']} of {submission.token}: {wrong}"


def waste(left: Left, asked: Mapping[str, KeyCounts]) -> Waste:
    """Return what the model was asked in vain."""
    received = sum(counts.received for counts in asked.values())
    used = sum(batch["request_counts"]["completed"] for batch in left.batches.values())
    codes = Counter(
        _code(line)
        for batch in left.batches.values()
        if batch["error_file_id"] in left.contents
        for line in _lines(left.contents[batch["error_file_id"]])
    )
    return Waste(sent_again=received - len(asked), unused=received - used, given_up=codes[WORKER_DIED])


def leftovers(data: Path, files: Mapping[str, Shape]) -> Iterator[str]:
    """Yield what lies in the data folder of a stopped server that nobody needs, and what is missing there."""
    blobs = blobs_folder(data)
    # The key of a blob is its file's id; a result file's has a random end besides.
    kept = Counter(path.name.partition(".")[0] for path in (blobs / "kept").iterdir())
    yield from (f"{file_id} has {count} blobs" for file_id, count in kept.items() if count > 1)
    yield from (f"bytes without a file: {file_id}" for file_id in sorted(kept.keys() - files.keys()))
    yield from (f"a file without bytes: {file_id}" for file_id in sorted(files.keys() - kept.keys()))
    yield from (f"half a file: {path}" for path in (blobs / "incoming").iterdir())
    yield from (f"journals of no use: {path}" for path in journals_folder(data).iterdir())
    yield from (f"a lock that nobody holds: {lock}" for lock in worker_locks(data).values())


def complaints(log: Path) -> Iterator[str]:
    """Yield what a server has logged that no kill explains: a process that met an error of its own."""
    for line in log.read_text(errors="replace").splitlines():
        if " CRITICAL " in line or line.startswith("Traceback"):
            yield f"the server's log has: {line}"


def _changed_ends(left: Left, watch: Watch) -> Iterator[str]:
    for batch_id, ended in watch.ended.items():
        if left.batches.get(batch_id) != ended:
            yield f"{batch_id} had ended and has changed: {ended} is now {left.batches.get(batch_id)}"
    for file_id, content in watch.contents.items():
        if left.contents.get(file_id) != content:
            yield f"the result file {file_id} has changed, or is gone"


def _creations(left: Left, submissions: Sequence[Submission]) -> Iterator[str]:
    of_token: dict[str, list[str]] = {}
    for batch in left.batches.values():
        of_token.setdefault((batch["metadata"] or {}).get("token", ""), []).append(batch["id"])
    for one in submissions:
        found = of_token.get(one.token, [])
        if one.batch_id is not None and found != [one.batch_id]:
            yield f"{one.token} was created as {one.batch_id}, and there is {found}"
        if one.status is not None and one.batch_id is None and found:
            yield f"{one.token} was refused with {one.status}, and there is {found}"
        if len(found) > 1:
            yield f"{one.token} was asked for once, and there is {found}"


def _files(left: Left, submissions: Sequence[Submission]) -> Iterator[str]:
    by_name = {f"{one.token}{SUFFIX}": one for one in submissions}
    for file_id, file in left.files.items():
        if file["bytes"] != len(left.contents[file_id]):
            yield f"{file_id} says {file['bytes']} bytes and has {len(left.contents[file_id])}"
        if file["filename"].startswith(HALF):
            yield f"{file_id} was uploaded half, and is there"
        one = by_name.get(file["filename"])
        if one is not None and left.contents[file_id] != one.content():
            yield f"{file_id} has not the bytes that were uploaded"
    for one in submissions:
        if one.file_gone and one.file_id in left.files:
            yield f"{one.file_id} was deleted, and is there"
        if one.uploaded and not one.file_deleted and one.file_id not in left.files:
            yield f"{one.file_id} was uploaded, and is gone"


def _results(left: Left, batch: Shape, *, submission: Submission, asked: Mapping[str, KeyCounts]) -> Iterator[str]:
    status, counts = batch["status"], batch["request_counts"]
    output = _lines(left.contents.get(batch["output_file_id"], b""))
    errors = _lines(left.contents.get(batch["error_file_id"], b""))
    if status not in ENDED:
        yield f"is {status} when all should have ended"
    expected = {"cancelled"} if submission.cancelled else {"failed" if submission.bad else "completed", "cancelled"}
    if status not in expected:
        yield f"is {status}, not one of {expected}"
    started = batch["in_progress_at"] is not None
    texts = submission.texts if started else []
    yield from _places(texts, output, errors=errors)
    yield from (f"wrong answer: {line}" for line in output if not _is_answer(line))
    yield from _errors(errors, status=status, asked=asked)
    given_up = sum(_code(line) == WORKER_DIED for line in errors)
    if (counts["total"], counts["completed"], counts["failed"]) != (len(texts), len(output), given_up):
        yield f"counts {counts}, with {len(texts)} lines, {len(output)} answers and {given_up} that failed"
    unasked = [line["custom_id"] for line in output if line["custom_id"] not in asked]
    if unasked:
        yield f"answers that the model never gave: {unasked}"
    if not started and any(text in asked for text in submission.texts):
        yield "never began, and the model was asked"


def _places(texts: Sequence[str], output: Sequence[Shape], *, errors: Sequence[Shape]) -> Iterator[str]:
    """Say where lines are missing, double, or out of order."""
    place = {text: number for number, text in enumerate(texts)}
    for word, lines in (("output", output), ("error", errors)):
        ids = [line["custom_id"] for line in lines]
        if strange := [one for one in ids if one not in place]:
            yield f"strangers in the {word} file: {strange}"
        elif ids != sorted(ids, key=place.__getitem__):
            yield f"the {word} file is not in input order"
    seen = Counter(line["custom_id"] for line in (*output, *errors))
    if double := [one for one, count in seen.items() if count > 1]:
        yield f"more than once: {double}"
    if missing := [text for text in texts if text not in seen]:
        yield f"{len(missing)} lines are in neither file: {missing[:5]}"


def _errors(errors: Sequence[Shape], *, status: str, asked: Mapping[str, KeyCounts]) -> Iterator[str]:
    for line in errors:
        code, text = _code(line), line["custom_id"]
        received = asked[text].received if text in asked else 0
        if code == WORKER_DIED:
            if received < DEATHS_MAX:
                yield f"{text} was given up, and the model has received it {received} times"
        elif code != NEVER_RUN or status != "cancelled":
            yield f"an error that nothing explains: {line}"


def _is_answer(line: Shape) -> bool:
    said = line["response"]["body"]["choices"][0]["message"]["content"]
    return line["error"] is None and said == f"Simulated answer to: {line['custom_id']}"


def _code(line: Shape) -> str | None:
    error = line["error"]
    return None if error is None else str(error["code"])


def _lines(content: bytes) -> list[Shape]:
    return [json.loads(line) for line in content.splitlines()]
