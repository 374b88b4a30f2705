"""What must hold of a server however often it was killed: checks that know nothing of how it was started.

They look at the data folder, ask the API through `get`, and compare with what a test was told before.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypedDict

from tidyllm.journal import Kind, scan
from tidyllm.server.lines import CANCELLED, EXPIRED, LOST
from tidyllm.server.places import batch_journals, blobs_folder, journals_folder, worker_locks
from tidyllm.server.store import DEFAULT_PROJECT
from tidyllm.server.stores.sql.engine import open_store
from tidyllm.testing import KeyCounts

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_NEVER_RUN = frozenset({CANCELLED[0], EXPIRED[0]})


class Counts(TypedDict):
    """The counts in a batch object."""

    total: int
    completed: int
    failed: int


class Batch(TypedDict):
    """What is looked at of a batch object; all of it is compared."""

    id: str
    status: str
    input_file_id: str
    output_file_id: str | None
    error_file_id: str | None
    request_counts: Counts
    metadata: dict[str, str] | None


class Api(Protocol):
    """How a running server is asked."""

    def get(self, path: str) -> bytes:
        """Return the body of a successful answer; `path` begins behind `/v1`."""
        ...


def batches(api: Api) -> list[Batch]:
    """Return all batches, the newest first; there must be no more than fit on a page."""
    page = json.loads(api.get("/batches?limit=100"))
    assert not page["has_more"], "there are more than 100 batches"
    found: list[Batch] = page["data"]
    return found


def file_names(api: Api) -> dict[str, str]:
    """Return the names of all visible files by id."""
    page = json.loads(api.get("/files"))
    assert not page["has_more"], "there are more files than fit on a page"
    return {file["id"]: file["filename"] for file in page["data"]}


class History:
    """All that the API has ever said of batches: what it says later must agree."""

    def __init__(self) -> None:
        self._last: dict[str, Batch] = {}
        self._bytes: dict[str, bytes] = {}

    def see(self, batch: Batch) -> Batch:
        """Compare a batch object with the last that was seen of the batch, and return it."""
        before = self._last.get(batch["id"], batch)
        if before["status"] in ENDED:
            assert batch == before, f"an ended batch has changed: {before} is now {batch}"
        for count in ("total", "completed", "failed"):
            was, now = before["request_counts"][count], batch["request_counts"][count]
            assert was <= now, f"the {count} count of {batch['id']} went down from {was} to {now}"
        self._last[batch["id"]] = batch
        return batch

    def see_files(self, batch: Batch, api: Api) -> None:
        """Compare the result files of an ended batch with what they were before, except those forgotten."""
        assert batch["status"] in ENDED, f"{batch['id']} has not ended"
        for file_id in result_files(batch):
            data = api.get(f"/files/{file_id}/content")
            assert data == self._bytes.setdefault(file_id, data), f"the bytes of {file_id} have changed"

    def agrees(self, api: Api) -> None:
        """Ask again for all that was ever seen."""
        now = {batch["id"]: batch for batch in batches(api)}
        assert self._last.keys() <= now.keys(), f"batches are lost: {self._last.keys() - now.keys()}"
        for batch in now.values():
            self.see(batch)


def result_files(batch: Batch) -> list[str]:
    """Return the ids of a batch's result files."""
    return [file_id for file_id in (batch["output_file_id"], batch["error_file_id"]) if file_id is not None]


def every_line_is_there_once(batch: Batch, api: Api, *, custom_ids: Sequence[str]) -> None:
    """Check an ended batch's files: each request once, in input order, and as many of each kind as were counted."""
    name, counts = batch["id"], batch["request_counts"]
    assert batch["status"] in ENDED, f"{name} has not ended: {batch['status']}"
    output = _lines(api, batch["output_file_id"])
    errors = _lines(api, batch["error_file_id"])
    places = {custom_id: place for place, custom_id in enumerate(custom_ids)}
    for word, lines in (("output", output), ("error", errors)):
        order = [places[str(line["custom_id"])] for line in lines]
        assert order == sorted(order), f"the {word} file of {name} is not in input order"
    found = sorted(str(line["custom_id"]) for line in output + errors)
    if batch["status"] == "failed":
        assert found == [], f"{name} failed and has results"
        return
    assert found == sorted(custom_ids), f"{name} has not each line once: {found}"
    reasons = [_reason(line) for line in errors]
    assert LOST not in reasons, f"{name} has lines whose answers were lost"
    never_run = sum(code in _NEVER_RUN for code, _ in reasons)
    assert counts["total"] == len(custom_ids), f"{name} counts {counts} of {len(custom_ids)} lines"
    assert counts["completed"] == len(output), f"{name} counts {counts} and has {len(output)} lines of output"
    assert counts["failed"] == len(errors) - never_run, f"{name} counts {counts} and has {len(errors)} lines of errors"


def _lines(api: Api, file_id: str | None) -> list[dict[str, object]]:
    if file_id is None:
        return []
    return [json.loads(line) for line in api.get(f"/files/{file_id}/content").splitlines()]


def _reason(line: dict[str, object]) -> tuple[object, object]:
    error = line["error"]
    return (error["code"], error["message"]) if isinstance(error, dict) else (None, None)


def few_are_sent_twice(keys: Mapping[str, KeyCounts], *, crashes: int, in_flight_max: int, lost: int = 0) -> None:
    """Check what the model received: again only what was in flight at a crash, or whose answer a power cut took.

    `lost` is how many answers were in the journals before the cuts and not after; see `answers`.
    """
    often = {key: counts.received for key, counts in keys.items() if counts.received > 1 + crashes}
    assert not often, f"sent more than once for each life: {often}"
    again = sum(counts.received - 1 for counts in keys.values())
    assert again <= crashes * in_flight_max + lost, (
        f"{again} requests were sent again after {crashes} crashes with {in_flight_max} in flight and {lost} lost"
    )


def answers(data: Path) -> set[tuple[str, int]]:
    """Return the batch and number of each line that has an answer in the journals."""
    return set(_answers(data))


def _answers(data: Path) -> Iterator[tuple[str, int]]:
    for folder in journals_folder(data).glob("*"):
        for journal in batch_journals(data, folder.name):
            for line, place in scan(journal):
                if place.kind in (Kind.ANSWERED, Kind.FAILED):
                    yield folder.name, line


def what_is_counted_is_written(data: Path) -> None:
    """Check, while no server runs, that the journals have as many answers of each unfinished batch as are counted."""
    written = Counter(batch_id for batch_id, _ in answers(data))
    store = open_store(data)
    try:
        for batch in store.list_batches(DEFAULT_PROJECT, limit=100, after=None) or []:
            counted = batch.counts.completed + batch.counts.failed
            assert batch.status.ended or counted <= written[batch.id], (
                f"{counted} answers of {batch.id} are counted, and {written[batch.id]} are in its journals"
            )
    finally:
        store.close()


def litter(data: Path, api: Api) -> list[str]:
    """Return what lies in the data folder though nobody needs it, and what is missing: nothing, after a clean-up."""
    running = [batch for batch in batches(api) if batch["status"] not in ENDED]
    visible = set(file_names(api))
    needed = visible | {batch["input_file_id"] for batch in running}
    # The key of a blob is its file's id; those of result files have an ending.
    kept = [path.name.partition(".")[0] for path in (blobs_folder(data) / "kept").iterdir()]
    ids = {batch["id"] for batch in running}
    return [
        *(f"the bytes of {key} are kept" for key in kept if key not in needed),
        *(f"there are two bodies of {key}" for key in set(kept) if kept.count(key) > 1),
        *(f"the bytes of {key} are missing" for key in sorted(visible - set(kept))),
        *(f"{path.name} is in blobs/incoming" for path in (blobs_folder(data) / "incoming").iterdir()),
        *(f"{path.name} has journals" for path in journals_folder(data).iterdir() if path.name not in ids),
    ]


def nothing_is_locked(data: Path) -> None:
    """Check that a server that has stopped left no lock of a worker behind."""
    assert not (locks := worker_locks(data)), f"locks are left: {sorted(locks)}"


def uploads_are_whole(api: Api, uploads: Mapping[str, bytes]) -> None:
    """Check that the bytes of uploaded files, by id, are what was sent."""
    for file_id, content in uploads.items():
        assert api.get(f"/files/{file_id}/content") == content, f"the bytes of {file_id} are not what was sent"


def as_told(api: Api, *, files: Iterable[str], created: Iterable[str], names: Collection[str]) -> None:
    """Check that all is there that was answered with success, and nothing that was not.

    `files` and `created` are ids of files and batches; `names` are the only ones that batches may have in their
    metadata, each once: a creation that was refused, or that was tried again, must have left nothing.
    """
    missing = set(files) - file_names(api).keys()
    assert not missing, f"files are lost that were promised: {missing}"
    there = batches(api)
    missing = set(created) - {batch["id"] for batch in there}
    assert not missing, f"batches are lost that were promised: {missing}"
    found = [(batch["metadata"] or {}).get("name", "") for batch in there]
    assert sorted(found) == sorted(names), f"there are batches {found}, and wanted were {names}"
