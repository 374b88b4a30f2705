"""The users of a server in crash runs: one who sends batches without a pause, and one who watches them."""

import json
import random
import threading
from typing import Any

from tests.crash.asking import BROKEN, Asking, Shape
from tests.crash.serving import Serving

OPEN_BATCHES = 5
"""Batches that are kept unfinished: as soon as there are fewer, another is sent."""
LINES_MIN, LINES_MAX = 20, 400
LOOK_EVERY_S = 0.01
NEWEST = 20
"""Batches looked at each time; now and then all are."""
ALL_EVERY = 20
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
ORDER = ("validating", "in_progress", "finalizing", "cancelling", *sorted(ENDED))
"""States in an order in which a batch never goes back; `_rank` makes the ended ones equal."""
ENDPOINT = "/v1/chat/completions"
SUFFIX = ".jsonl"
HALF = "half-"
"""How the names of uploads begin that were left in the middle."""


def result_files(batch: Shape) -> list[str]:
    """Return the ids of a batch's result files."""
    return [file_id for file_id in (batch["output_file_id"], batch["error_file_id"]) if file_id is not None]


class Submission:
    """One batch that was asked for, and what the server has said of it."""

    def __init__(self, token: str, *, lines: int, bad: bool = False) -> None:
        self.token = token
        self.texts = [f"{token}/{number}" for number in range(lines)]
        """Of its requests: at once their text, and their custom_id."""
        self.bad = bad
        """Whether the batch has to fail: for a bad line, or for want of its file."""
        self.file_id: str | None = None
        self.uploaded = False
        """Whether the upload was acknowledged."""
        self.status: int | None = None
        """Of the answer to the creation; None if it has not come."""
        self.batch_id: str | None = None
        self.cancelled = False
        """Whether a cancel was acknowledged."""
        self.file_deleted = False
        """Whether a delete of the file was asked for."""
        self.file_gone = False
        """Whether it was acknowledged."""

    def content(self) -> bytes:
        """Return the input file."""
        lines = [json.dumps(_request(text)).encode() for text in self.texts]
        if self.bad:
            lines.insert(len(lines) // 2, b'{"custom_id": "broken')
        return b"\n".join(lines) + b"\n"


def _request(text: str) -> Shape:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": text, "method": "POST", "url": ENDPOINT, "body": body}


class Watch:
    """Looks at the batches all the time, and notes what must never be seen."""

    def __init__(self, serving: Serving) -> None:
        self.violations: list[str] = []
        self.ended: dict[str, Shape] = {}
        """Each batch as it was when it was first seen ended."""
        self.contents: dict[str, bytes] = {}
        """Result files as they were first read."""
        self._asking = Asking(serving)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._open: dict[str, Shape] = {}

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def _run(self) -> None:
        looks = 0
        while not self._over.is_set():
            looks += 1
            try:
                self.look(everything=looks % ALL_EVERY == 0)
            except BROKEN:
                pass
            except Exception as error:  # noqa: BLE001 - the thread must not end unheard
                self.violations.append(f"the watch met {error!r}")
            self._over.wait(LOOK_EVERY_S)

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def open_batches(self) -> list[str]:
        """Return the batches that were last seen unfinished."""
        return list(self._open.copy())

    def knows(self, batch_id: str) -> bool:
        """Return whether a batch was ever seen."""
        return batch_id in self._open or batch_id in self.ended

    def has_all_of(self, batch: Shape) -> bool:
        """Return whether a batch was seen ended, and its files were read."""
        known = self.ended.get(batch["id"])
        return known is not None and all(file_id in self.contents for file_id in result_files(known))

    def look(self, *, everything: bool) -> None:
        """Look once."""
        batches = (
            self._asking.all_of("/v1/batches") if everything else self._asking.page("/v1/batches", limit=NEWEST)["data"]
        )
        for batch in batches:
            self._compare(batch)
        for batch in list(self.ended.values()):
            self._keep_files(batch)

    def _compare(self, batch: Shape) -> None:
        batch_id = batch["id"]
        if (before := self.ended.get(batch_id)) is not None:
            if batch != before:
                self.violations.append(f"{batch_id} had ended and has changed: {before} is now {batch}")
            return
        if (before := self._open.get(batch_id)) is not None:
            self.violations.extend(_backward(before, batch))
        if batch["status"] in ENDED:
            self.ended[batch_id] = batch
            self._open.pop(batch_id, None)
        else:
            self._open[batch_id] = batch

    def _keep_files(self, batch: Shape) -> None:
        for file_id in result_files(batch):
            if file_id not in self.contents:
                self.contents[file_id] = self._asking.content(file_id)


def _backward(before: Shape, now: Shape) -> list[str]:
    found = []
    for name in ("total", "completed", "failed"):
        was, has = before["request_counts"][name], now["request_counts"][name]
        if has < was:
            found.append(f"{now['id']} ({now['status']}) had {name} {was} and now {has}")
    if _rank(now["status"]) < _rank(before["status"]):
        found.append(f"{now['id']} was {before['status']} and is {now['status']}")
    return found


def _rank(status: str) -> int:
    return len(ORDER) if status in ENDED else ORDER.index(status)


class Supply:
    """Sends batches so that some are always unfinished, and does now and then what users do besides."""

    def __init__(self, serving: Serving, watch: Watch, *, name: str, rng: random.Random) -> None:
        self.submissions: list[Submission] = []
        self.failures: list[str] = []
        self._watch = watch
        self._prefix = name
        self._rng = rng
        self._asking = Asking(serving)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Send from now on."""
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._step()
            except BROKEN:
                pass
            except Exception as error:  # noqa: BLE001 - the thread must not end unheard
                self.failures.append(f"the supply met {error!r}")
            self._over.wait(self._rng.uniform(0, 2 * LOOK_EVERY_S))

    def stop(self) -> None:
        """Send no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _step(self) -> None:
        if self._rng.random() < 0.02:
            self._cancel()
        if self._rng.random() < 0.03:
            self._delete()
        if self._unfinished() < OPEN_BATCHES:
            self._send_one()

    def _unfinished(self) -> int:
        unseen = [one for one in self.submissions if one.batch_id is not None and not self._watch.knows(one.batch_id)]
        return len(self._watch.open_batches()) + len(unseen)

    def _send_one(self) -> None:
        kind = self._rng.random()
        submission = self.new(bad=kind < 0.1)
        if kind < 0.03:
            submission.file_id = "file-that-is-not-there"
        else:
            if kind > 0.9:
                self._asking.upload_half(f"{HALF}{submission.token}{SUFFIX}", submission.content())
            self.upload(submission)
        self.create(submission, window="never" if kind > 0.97 else "24h")

    def new(self, *, lines: int | None = None, bad: bool = False) -> Submission:
        """Return a new submission, with as many lines as chance has it."""
        token = f"{self._prefix}-{len(self.submissions)}"
        submission = Submission(token, lines=lines or self._rng.randint(LINES_MIN, LINES_MAX), bad=bad)
        self.submissions.append(submission)
        return submission

    def upload(self, submission: Submission) -> None:
        """Upload its file."""
        answer = self._asking.upload(f"{submission.token}{SUFFIX}", submission.content())
        assert answer.ok, answer
        submission.file_id, submission.uploaded = answer.json()["id"], True

    def create(self, submission: Submission, *, window: str = "24h") -> None:
        """Create its batch; a window that the server does not know is refused."""
        body: dict[str, Any] = {
            "input_file_id": submission.file_id,
            "endpoint": ENDPOINT,
            "completion_window": window,
            "metadata": {"token": submission.token},
        }
        answer = self._asking.ask_json("POST", "/v1/batches", body=body)
        submission.status = answer.status
        if answer.ok:
            submission.batch_id = answer.json()["id"]
        elif window == "24h":
            self.failures.append(f"a creation was refused: {answer}")

    def _cancel(self) -> None:
        running = set(self._watch.open_batches())
        candidates = [one for one in self.submissions if one.batch_id in running]
        if candidates:
            chosen = self._rng.choice(candidates)
            answer = self._asking.ask("POST", f"/v1/batches/{chosen.batch_id}/cancel")
            chosen.cancelled |= answer.ok
            if not answer.ok and answer.status != 409:
                self.failures.append(f"a cancel was refused: {answer}")

    def _delete(self) -> None:
        running = set(self._watch.open_batches())
        candidates = [one for one in self.submissions if one.batch_id in running and not one.file_deleted]
        chosen = self._rng.choice(candidates) if candidates else None
        if chosen is not None and not chosen.bad:
            chosen.file_deleted = True
            answer = self._asking.ask("DELETE", f"/v1/files/{chosen.file_id}")
            chosen.file_gone = answer.ok
            if not answer.ok:
                self.failures.append(f"a delete was refused: {answer}")
