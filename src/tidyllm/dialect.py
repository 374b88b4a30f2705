"""What a dialect must answer, as contracts, one for each capability; `dialects/` has one folder a family.

A dialect is pure: it turns values into requests and answers into values, and touches neither network nor disk.
A capability that a family lacks is a contract that nobody there fulfils; there are no flags.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from tidyllm.core.auth import Auth
from tidyllm.core.batch import Batch
from tidyllm.core.embeddings import Embeddings
from tidyllm.core.file import FileInfo
from tidyllm.core.media import Media
from tidyllm.core.message import Conversation
from tidyllm.core.model_info import ModelInfo
from tidyllm.core.params import Params
from tidyllm.core.reply import Outcome, Reply
from tidyllm.core.schema import Schema
from tidyllm.core.wire import TIMEOUT_S, Call, Decoder, Lane
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.media import MediaTaken


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where the requests of a call go, and how they are signed."""

    provider: str
    """Its name, for messages."""
    base_url: str
    """Without a slash at its end."""
    auth: Auth | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every request."""
    timeout_s: float = TIMEOUT_S
    """For each exchange; for a stream, for each silence."""

    def says(self, *headers: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """Return a request's headers: the user's own, and these where they do not say otherwise."""
        own = {name.lower() for name, _ in self.headers}
        return (*self.headers, *(header for header in headers if header[0] not in own))

    def lane(self, model: str) -> Lane:
        """Return whose limits the requests to a model count against."""
        return Lane(self.provider, model, self.base_url)


class BatchPage(msgspec.Struct, frozen=True):
    """One page of a provider's list of batches, newest first."""

    batches: tuple[Batch, ...]
    after: str | None
    """What to ask the next page with; null on the last page."""


class BatchOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a new batch is made of."""

    name: str
    """What to call it: the job's name."""
    token: str
    """A word of ours that no other batch has, by which it is found again where its id was lost."""
    model: str
    path: str
    """Which of the API's endpoints its requests go to, as `ChatDialect.path` has it."""
    requests: Path
    """The file of its requests: JSONL that was uploaded, or else the body of the request that starts the batch."""
    input_file_id: str | None = None
    """What the uploaded file is called; null where the requests are sent in the body."""
    shared: Mapping[str, object] = {}
    """Of embeddings: what the bodies of all requests say alike, that is all but their texts."""

    @property
    def notes(self) -> dict[str, str]:
        """Return what the provider is to keep with the batch, where it keeps notes."""
        return {JOB_NOTE: self.name, TOKEN_NOTE: self.token}


JOB_NOTE = "tidyllm_job"
TOKEN_NOTE = "tidyllm_token"  # noqa: S105 - the name of a note, no secret


class Framing(msgspec.Struct, frozen=True):
    """What stands around the requests in the body of the request that starts a batch, and between them.

    Each request has a line of its own.
    """

    head: bytes
    """With a line end."""
    tail: bytes
    """From a line end on."""
    between: bytes = b",\n"


class ResultFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a batch's results, still at the provider."""

    name: str
    """What to call it on disk."""
    id: str
    """What the provider calls it."""
    document: bool = False
    """Whether it is one JSON document, which `BatchDialect.items` takes apart, and not a line a request."""


class ResultItem(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of one request of a batch, its answer not looked into."""

    custom_id: str
    body: bytes | None = None
    """The successful answer, as the live API would have given it; null where there is none."""
    outcome: Outcome = Outcome.OK
    """How it ended, where there is no answer."""
    error: str | None = None
    request_id: str | None = None


class ReplyDecoder(Decoder, Protocol):
    """Reads an answer that comes in pieces, and puts it together."""

    @property
    def whole(self) -> bool:
        """Return whether the answer came to its own end."""
        ...

    def reply(self) -> Reply:
        """Return the answer that came, its model, tokens and all. Raises BadAnswerError where it is none."""
        ...


class ChatDialect(Protocol):
    """How an API is asked for an answer to a conversation; `dialects/asking.py` asks."""

    @property
    def api(self) -> str:
        """Return the API's name, for `api=` where a provider has several: `chat_completions`."""
        ...

    @property
    def path(self) -> str:
        """Return the API's endpoint for chat, as it stands in the lines of a batch."""
        ...

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return what every request must say besides."""
        ...

    @property
    def schema_forms(self) -> tuple[SchemaForm, ...]:
        """Return how models are asked for an answer that fits a schema; nothing where none of them is."""
        ...

    @property
    def media(self) -> MediaTaken:
        """Return which images and files may go with what the user says."""
        ...

    def url(self, site: Site, model: str, *, streamed: bool) -> str:
        """Return where a request goes."""
        ...

    def body(
        self,
        model: str,
        conversation: Conversation,
        *,
        params: Params,
        streamed: bool = False,
        schema: Schema | None = None,
    ) -> dict[str, object]:
        """Return the request's body. Raises SettingError for what the API cannot honour.

        What is opaque in the conversation is this model's own: what is not was taken out.
        """
        ...

    def read(self, body: bytes) -> Reply:
        """Return what a successful answer says. Raises BadAnswerError when it is not as documented."""
        ...

    def decoder(self) -> ReplyDecoder:
        """Return what reads one streamed answer."""
        ...


class EmbedDialect(Protocol):
    """How an API turns texts, and images where it can, into vectors."""

    @property
    def inputs_max(self) -> int:
        """Return how many inputs one request may hold."""
        ...

    @property
    def bytes_max(self) -> int:
        """Return how many bytes the inputs of one request may have, where there are several."""
        ...

    @property
    def media(self) -> MediaTaken:
        """Return which images may be among the inputs, and of which models."""
        ...

    def embed(self, site: Site, inputs: Sequence[str | Media], *, model: str, params: Params) -> Call[Embeddings]:
        """Return one vector an input, in their order. Raises SettingError for what does not go with it.

        Raises BadAnswerError for an answer that has not one vector for each input.
        """
        ...


class ModelsDialect(Protocol):
    """How an API lists its models."""

    def models(self, site: Site) -> Call[tuple[ModelInfo, ...]]:
        """Return all models that the key may use, all pages of them, in the API's order."""
        ...


class FilesDialect(Protocol):
    """How an API keeps files."""

    def upload(self, site: Site, file: Path, *, purpose: str) -> Call[FileInfo]:
        """Send a file, streamed from disk."""
        ...

    def download(self, site: Site, file_id: str, *, sink: Path) -> Call[None]:
        """Write a file's content to `sink` as it comes."""
        ...


class BatchDialect(Protocol):
    """How an API takes and shows batches, and what stands in their requests and results."""

    @property
    def uploads(self) -> bool:
        """Return whether the requests are uploaded as a file first, one a line."""
        ...

    @property
    def inline_bytes_max(self) -> int:
        """Return how long the body of a request that starts a batch may be with the batch's requests in it; 0: never.

        Where files are uploaded as well, this is the way of smaller batches.
        """
        ...

    @property
    def keeps_notes(self) -> bool:
        """Return whether a batch is found again by its token, in `Batch.metadata` or `Batch.name`."""
        ...

    def page(self, site: Site, *, limit: int, after: str | None = None) -> Call[BatchPage]:
        """Return at most `limit` batches, newest first, after the one that the last page ended with."""
        ...

    def get(self, site: Site, batch_id: str) -> Call[Batch]:
        """Return one batch."""
        ...

    def framing(self, order: BatchOrder) -> Framing:
        """Return what stands around the requests where they are sent in the body. `input_file_id` is null."""
        ...

    def create(self, site: Site, order: BatchOrder) -> Call[Batch]:
        """Start a batch. The request is never repeated: a second one would be a second bill."""
        ...

    def line(self, custom_id: str, *, path: str, body: Mapping[str, object], inline: bool) -> bytes:
        """Return one request as it stands in the uploaded file or, `inline`, in the body; without a line end."""
        ...

    def result_files(self, batch: Batch) -> tuple[ResultFile, ...]:
        """Return every file that a batch has left behind, answers and errors alike."""
        ...

    def download(self, site: Site, batch: Batch, *, file: ResultFile, sink: Path) -> Call[None]:
        """Write one of these files to `sink` as it comes."""
        ...

    def items(self, document: bytes) -> Iterable[bytes]:
        """Return the results of a file that is one document, each as `read_item` reads it.

        Raises BadAnswerError for a document that holds none.
        """
        ...

    def read_item(self, data: bytes) -> ResultItem:
        """Return how the request of one result ended, whichever file it stands in.

        Raises BadAnswerError for a result that does not even say which request it answers.
        """
        ...


class BatchCancelDialect(Protocol):
    """How an API ends a batch early."""

    def cancel(self, site: Site, batch_id: str) -> Call[Batch]:
        """Ask a batch to stop, and return it; one that is stopping or has stopped is returned as it is."""
        ...


class BatchDeleteDialect(Protocol):
    """How an API forgets a batch."""

    def delete(self, site: Site, batch_id: str) -> Call[None]:
        """Delete a batch that has ended, with its results."""
        ...
