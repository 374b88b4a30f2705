"""A job is a folder of plain files: what was asked for, what became of it, and every answer as it came.

.tidyllm/<name>/            or under $TIDYLLM_HOME; mode 0700
    job.json                intent before anything is sent, fact after; the other files are whole once it exists
    rows.parquet            the rows and the ids of their requests; there is none of a batch of elsewhere, of ready-made
                            requests, and of a list that `chat` was given
    requests-<n>.jsonl      the requests of one batch, as they are sent (requests.py)
    raw/<batch id>/         the provider's result files, as downloaded
    answers/                what came in the runs of `chat` that have this name (run_journal.py)
    .lock                   held while the job is being changed
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from tidyllm.client.disk import exclusive, write_durably
from tidyllm.client.rows import TableKind
from tidyllm.core.batch import Batch
from tidyllm.core.disk import sync_folder
from tidyllm.core.errors import JobError, JobLockedError, JobNotFoundError, SettingError
from tidyllm.core.params import Params
from tidyllm.core.schema import Schema
from tidyllm.provider import Model, Provider, find_provider

FORMAT = 1
"""Of `job.json` and of the key; a change that old files do not survive counts it up."""
_HOME = ".tidyllm"
_HOME_ENV = "TIDYLLM_HOME"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LOG = logging.getLogger("tidyllm")


JobKind: TypeAlias = TableKind | Literal["messages"]
"""What the rows of a job came in: a table, or a list of conversations."""


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """One batch at the provider that carries rows of a job, or is to."""

    token: str
    """Our mark in the batch's notes, by which it is found again when its id was lost in a crash."""
    requests: int
    file: str = ""
    """The file of its requests, in the job's folder; a batch of elsewhere has none."""
    rows: tuple[tuple[int, int], ...] = ()
    """The rows that ask them, as runs from first to last, numbered from 1; without any, the first `requests`."""
    tokens: int = 0
    """Of its prompts, about."""
    inline: bool = False
    """Whether the file is the body of the request that starts the batch; else it is uploaded."""
    input_file_id: str | None = None
    tried_at: float | None = None
    """When the batch may have been created without our having seen its id; seconds since 1970 UTC."""
    batch: Batch | None = None
    """As it was last reported and saved."""
    downloaded: bool = False
    """Whether its result files are in `raw/`, all of them and for good."""
    gone: tuple[str, ...] = ()
    """Names of those result files that the provider no longer had."""
    again: bool = False
    """Whether its rows were in an earlier batch of the job, and failed there."""
    refused: tuple[Batch, ...] = ()
    """Batches of the same requests that the provider refused as a whole for what passes, so that they went again."""

    @property
    def numbers(self) -> Iterator[int]:
        """Yield the numbers of its rows, in the order of its requests."""
        for first, last in self.rows or ((1, self.requests),):
            yield from range(first, last + 1)


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `job.json` holds."""

    format: int = FORMAT
    name: str
    key: str
    """Hash of all of `parts`."""
    parts: dict[str, str]
    """Everything the job's content is made of, each part as canonical JSON or a hash."""
    provider: str
    base_url: str
    model: str | None
    kind: JobKind | None
    """What the rows came in; null where there are no rows."""
    created_at: float
    """Seconds since 1970 UTC."""
    remotes: tuple[Remote, ...]
    api: str | None = None
    """What the requests speak, where they are for chat."""
    embeds: str | None = None
    """The column whose texts become vectors; null where the requests are for chat."""
    schema: Schema | None = None
    """What the answers must look like."""
    prefix: str = ""
    """What the names of the answers' columns begin with."""
    ids: str = "row"
    """What the ids of the requests begin with, before a dash and the row's number."""
    queue_tokens: int | None = None
    """Most tokens of prompts that wait at the provider at a time, where that was said."""
    cancelled: bool = False
    """Whether what was not sent yet is not to be."""
    retried: bool = False
    """Whether its failed rows were written down to be sent again, so that the same call goes on with that."""

    @property
    def height(self) -> int:
        """Return how many rows it has; of a batch of elsewhere, how many requests."""
        return msgspec.json.decode(self.parts["rows"], type=int) if "rows" in self.parts else self.requests

    @property
    def ready_made(self) -> bool:
        """Whether its requests came ready-made: each has an id of the user's, and its rows are unknown."""
        return "requests" in self.parts

    @property
    def requests(self) -> int:
        """Return how many different rows ask something."""
        return sum(remote.requests for remote in self.remotes if not remote.again)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was sent: what the other verbs take. Its name does as well, on any day and in any process."""

    name: str
    folder: Path
    model: Model
    rows: int
    batch_ids: tuple[str, ...]
    """What the provider calls its batches."""

    def __repr__(self) -> str:
        return f"Job({self.name!r}, {self.model!r}, {self.rows} rows, {', '.join(self.batch_ids)})"


class JobFolder:
    """One job on disk."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.path = path
        self.rows = path / "rows.parquet"
        self.answers = path / "answers"

    @property
    def exists(self) -> bool:
        """Whether a job was ever begun here."""
        with self.usable():
            return self._record.is_file()

    @property
    def _record(self) -> Path:
        return self.path / "job.json"

    def raw(self, batch_id: str) -> Path:
        """Return the folder of a batch's result files, which is made if need be."""
        folder = self.path / "raw" / file_name(batch_id)
        with self.usable():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def read(self) -> JobRecord:
        """Return what is known of the job. Raises JobNotFoundError, or JobError for a file that cannot be read."""
        with self.usable():
            try:
                data = self._record.read_bytes()
            except FileNotFoundError as fault:
                place = f"There is no job {self.name!r} in {self.path.parent}."
                hint = "For a batch that was sent from elsewhere, give its id and provider=."
                raise JobNotFoundError(f"{place} {hint}", name=self.name) from fault
        try:
            record = msgspec.json.decode(data, type=JobRecord)
            _check(record)
        except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
            raise JobError(
                f"{self._record} is damaged: {fault}. What was fetched is beside it, in raw/. Put the file back as it "
                "was; or move its folder away, and fetch the batches by their ids with provider=: list_batches has "
                "these. The same rows sent again without it are another job, and paid again.",
                name=self.name,
            ) from fault
        if record.format != FORMAT:
            raise JobError(f"{self._record} was written by another version of tidyllm.", name=self.name)
        return record

    def write(self, record: JobRecord) -> None:
        """Save what is known of the job, durably."""
        with self.usable():
            write_durably(self._record, [msgspec.json.format(msgspec.json.encode(record), indent=1), b"\n"])

    @contextmanager
    def usable(self) -> Iterator[None]:
        """Raise JobError, which says what to do, where the block meets a folder that cannot be used."""
        try:
            yield
        except OSError as fault:
            raise JobError(
                f"The folder {self.path} of the job {self.name!r} cannot be used: {fault}. Jobs live in the folder "
                f"that {_HOME_ENV} names, or in {_HOME} where the program runs: it must be one that can be written to.",
                name=self.name,
            ) from fault

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else from changing the job while the block runs; the folder is made if need be.

        Raises JobLockedError while somebody is at it: another process, or an interrupted call of this one whose
        request is still under way; and JobError where the folder cannot be used.
        """
        with ExitStack() as stack:
            with self.usable():
                for folder in (self.path.parent, self.path):
                    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    sync_folder(folder.parent)
                mine = stack.enter_context(exclusive(self.path / ".lock"))
            if not mine:
                raise JobLockedError(
                    f"The job {self.name!r} is still being worked on, perhaps by an earlier call of this program; "
                    "try again in a moment.",
                    name=self.name,
                )
            yield


def _check(record: JobRecord) -> None:
    """Raise a msgspec error, which says where, for what no job's record can say: somebody has changed it by hand."""
    for part, kind in (("rows", int), ("parameters", Params)):
        try:
            if part in record.parts:
                msgspec.json.decode(record.parts[part], type=kind)
        except msgspec.MsgspecError as fault:
            raise msgspec.ValidationError(f"parts.{part}: {fault}") from fault
    height = record.height
    for number, remote in enumerate(record.remotes):
        asked = sum(last - first + 1 for first, last in remote.rows)
        # Of a batch of elsewhere, and of ready-made requests, nobody knows the rows.
        known = "rows" not in record.parts or all(1 <= first <= last <= height for first, last in remote.rows)
        if not known or remote.requests > height or (remote.rows and asked != remote.requests):
            raise msgspec.ValidationError(f"remotes[{number}]: these are no {remote.requests} of {height} rows")


class OpenJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was read from its folder, and the model that it asks."""

    folder: JobFolder
    record: JobRecord
    model: Model


def home() -> Path:
    """Return the folder that jobs live in: `$TIDYLLM_HOME`, or `.tidyllm` where the program runs."""
    return Path(os.environ.get(_HOME_ENV) or _HOME).absolute()


def job_key(parts: Mapping[str, str]) -> str:
    """Return the hash of a job's content, the same in every process and on every machine."""
    return sha256(b"tidyllm job %d\n" % FORMAT + msgspec.json.encode(parts, order="deterministic")).hexdigest()


def canonical(value: object) -> str:
    """Return a part of a job's content as the same text in every process."""
    return msgspec.json.encode(value, order="deterministic").decode()


def job_folder(name: str) -> JobFolder:
    """Return where a job of that name is or will be. Raises SettingError for what can be no name."""
    if not _NAME.fullmatch(name):
        raise SettingError(f"A job's name must be letters, digits, dots, dashes and underscores, not {name!r}.")
    return JobFolder(home() / name)


def find_job(word: str, *, provider: str | None) -> JobFolder | None:
    """Return the job of that name, or else the one that a provider's batch of that id belongs to, if there is one."""
    if _NAME.fullmatch(word) and job_folder(word).exists:
        return job_folder(word)
    for path in sorted(home().glob("*/job.json")):
        # Only a file that speaks of the batch is read: a damaged one of another job is not our business here.
        if provider is None or word.encode() not in path.read_bytes():
            continue
        folder = JobFolder(path.parent)
        record = folder.read()
        if record.provider == provider and word in batch_ids(record):
            return folder
    return None


def batch_ids(record: JobRecord) -> tuple[str, ...]:
    """Return what the provider calls the job's batches, as far as they are known."""
    return tuple(remote.batch.id for remote in record.remotes if remote.batch is not None)


def batches_elsewhere(record: JobRecord) -> set[str]:
    """Return the batches that this job and the others of this machine know, also those that were refused."""
    known = _ever_known(record)
    for path in home().glob("*/job.json"):
        try:
            known |= _ever_known(JobFolder(path.parent).read())
        except JobError as fault:
            # A damaged job of somebody else's is no reason to stop; its batches count as unknown.
            _LOG.warning("%s", fault)
    return known


def _ever_known(record: JobRecord) -> set[str]:
    refused = (batch.id for remote in record.remotes for batch in remote.refused)
    return {*batch_ids(record), *refused}


def job_of(folder: JobFolder, record: JobRecord, *, model: Model) -> Job:
    """Return the value that stands for a job."""
    return Job(
        name=record.name,
        folder=folder.path,
        model=model,
        rows=record.height,
        batch_ids=batch_ids(record),
    )


def model_of(record: JobRecord) -> Model:
    """Return the model that a job was sent to; its key is looked for in the environment."""
    provider = find_provider(record.provider)
    model = provider(record.model, base_url=record.base_url, api=api_of(record, provider))
    if "parameters" not in record.parts:
        return model
    return msgspec.structs.replace(model, params=msgspec.json.decode(record.parts["parameters"], type=Params))


def api_of(record: JobRecord, provider: Provider) -> str | None:
    """Return what the requests of a job speak; of one that was written before jobs said so their endpoint tells."""
    if record.api is not None:
        return record.api
    path = record.parts.get("path")
    return next((chat.api for chat in provider.batch_chats if canonical(chat.path) == path), None)


def file_name(batch_id: str) -> str:
    """Return a batch's id as the name of a file: no id can point out of its folder."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", batch_id) or "_"
