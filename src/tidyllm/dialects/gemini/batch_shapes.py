"""Batches on the wire: long-running operations, whose counts are numbers in quotes; spec/gemini 9."""

import msgspec

from tidyllm.core.batch import Batch, BatchStatus, Problem, RequestCounts
from tidyllm.core.problem import read_problem
from tidyllm.dialects.batches import end_moment
from tidyllm.dialects.gemini.names import bare
from tidyllm.dialects.times import unix_seconds

CHAT_PATH = "/v1beta/models:generateContent"
EMBED_PATH = "/v1beta/models:batchEmbedContents"
"""What stands for the two APIs, as the live dialects have it; nothing is sent there, for URLs name the model."""
_STATUSES = {
    "PENDING": BatchStatus.VALIDATING,
    "QUEUED": BatchStatus.VALIDATING,
    "RUNNING": BatchStatus.IN_PROGRESS,
    "SUCCEEDED": BatchStatus.COMPLETED,
    "PARTIALLY_SUCCEEDED": BatchStatus.COMPLETED,
    "FAILED": BatchStatus.FAILED,
    "CANCELLING": BatchStatus.CANCELLING,
    "CANCELLED": BatchStatus.CANCELLED,
    "EXPIRED": BatchStatus.EXPIRED,
}
_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""What the numbers of errors mean, which are no HTTP statuses: https://grpc.io/docs/guides/status-codes/."""
_NULL = msgspec.Raw(b"null")


class Stats(msgspec.Struct, frozen=True, rename="camel"):
    """How many requests ended how; zeros are left out."""

    request_count: object = None
    successful_request_count: object = None
    failed_request_count: object = None

    def read(self) -> RequestCounts:
        """Return them in our words."""
        return RequestCounts(
            total=_number(self.request_count),
            completed=_number(self.successful_request_count),
            failed=_number(self.failed_request_count),
        )


class InputConfig(msgspec.Struct, frozen=True, rename="camel"):
    """Where the requests came from."""

    file_name: str | None = None


class Inlined(msgspec.Struct, frozen=True, rename="camel"):
    """Results in the body."""

    inlined_responses: list[msgspec.Raw] | None = None


class Output(msgspec.Struct, frozen=True, rename="camel"):
    """Where the results are: in a file, or here."""

    responses_file: str | None = None
    inlined_responses: Inlined | None = None
    inlined_embed_content_responses: Inlined | None = None

    @property
    def inlined(self) -> Inlined | None:
        """Return the results that are here."""
        return self.inlined_responses or self.inlined_embed_content_responses


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """The batch itself."""

    kind: str | None = msgspec.field(default=None, name="@type")
    model: str | None = None
    display_name: str | None = None
    input_config: InputConfig | None = None
    state: str | None = None
    create_time: str | None = None
    end_time: str | None = None
    batch_stats: Stats | None = None
    output: Output | None = None


class Operation(msgspec.Struct, frozen=True):
    """A batch, as it is asked for and listed."""

    name: str
    metadata: Metadata = Metadata()
    response: Output | None = None
    error: msgspec.Raw = _NULL

    @property
    def output(self) -> Output:
        """Return where the results are; it stands in either of two places."""
        for place in (self.metadata.output, self.response):
            if place is not None and (place.responses_file or place.inlined is not None):
                return place
        return Output()

    def read(self, *, listed: bool = False) -> Batch:
        """Return it in our words; in a list the results are left out, and so do not have to be there."""
        told, output = self.metadata, self.output
        word = (told.state or "").rpartition("STATE_")[2]
        status = _STATUSES.get(word, BatchStatus.IN_PROGRESS)
        results = output.responses_file or (None if output.inlined is None else self.name)
        if status is BatchStatus.COMPLETED and results is None and not listed:
            status = BatchStatus.FINALIZING  # its results are yet to turn up
        batch = Batch(
            id=self.name,
            status=status,
            status_word=word if word and word not in _STATUSES else None,
            counts=(told.batch_stats or Stats()).read(),
            created_at=unix_seconds(told.create_time) or 0,
            endpoint=_path(told.kind or ""),
            model=bare(told.model or "") or None,
            input_file_id=(told.input_config or InputConfig()).file_name or None,
            output_file_id=results or None,
            problems=tuple(self._problems()) if status is not BatchStatus.CANCELLED else (),
            name=told.display_name or None,
        )
        return msgspec.structs.replace(batch, **end_moment(status, unix_seconds(told.end_time)))

    def _problems(self) -> list[Problem]:
        problem = read_problem(bytes(self.error))
        code, message = code_word(problem.code) or "", problem.message or ""
        return [Problem(code=code, message=message)] if code or message else []


class OperationList(msgspec.Struct, frozen=True, rename="camel"):
    """One page of batches; the last has no token."""

    operations: list[Operation] | None = None
    next_page_token: str | None = None


class Result(msgspec.Struct, frozen=True):
    """One result: a line of the file of them, or one of those in the body."""

    key: object = None
    metadata: object = None
    """Of those in the body, it has the key."""
    response: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL

    @property
    def custom_id(self) -> str | None:
        """Return which request it answers."""
        noted = self.metadata.get("key") if isinstance(self.metadata, dict) else None
        return next((key for key in (self.key, noted) if isinstance(key, str) and key), None)

    @property
    def has_response(self) -> bool:
        """Return whether it says that the request succeeded."""
        return _is_there(self.response)


class Embedded(msgspec.Struct, frozen=True, rename="camel"):
    """What an embedding's result says in place of what the live API would have."""

    embedding: msgspec.Raw = _NULL
    token_count: object = None

    @property
    def has_embedding(self) -> bool:
        """Return whether it is one: what a chat answers has no such field."""
        return _is_there(self.embedding)

    def as_live(self) -> msgspec.Raw:
        """Return what the live API would have answered to a request of that one text."""
        answer = {
            "embeddings": [self.embedding],
            "usageMetadata": {"promptTokenCount": _number(self.token_count) or None},
        }
        return msgspec.Raw(msgspec.json.encode(answer))


def code_word(code: str | None) -> str | None:
    """Return the word for the number of an error; what is no such number is returned as it is."""
    return _CODES[int(code)] if code is not None and code.isdecimal() and int(code) < len(_CODES) else code


def _is_there(said: msgspec.Raw) -> bool:
    return bytes(said).strip() != b"null"


def _path(kind: str) -> str | None:
    if "Embed" in kind:
        return EMBED_PATH
    return CHAT_PATH if "GenerateContent" in kind else None


def _number(said: object) -> int:
    if isinstance(said, str) and said.isdecimal():
        return int(said)
    return said if isinstance(said, int) else 0
