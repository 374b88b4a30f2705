"""The Batch API: lists, single batches, and the lines of input files; spec/openai-batch 4, 5 and 10."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec

from tidyllm.core.batch import Batch
from tidyllm.core.wire import Call, Repeat
from tidyllm.dialect import BatchOrder, BatchPage, Framing, ResultFile, ResultItem, Site
from tidyllm.dialects.batches import get_request, post_request
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.openai.files import Files
from tidyllm.dialects.openai.results import read_result
from tidyllm.dialects.openai.shapes import BatchList, BatchObject


class Batches(msgspec.Struct, frozen=True, kw_only=True):
    """The Batch API, with what differs between those who have it."""

    uploads: bool = True
    inline_bytes_max: int = 0
    keeps_notes: bool = True
    window: str = "24h"
    """How soon a batch is to be done."""
    has_cursors: bool = False
    """Whether the next page of the list is asked for by a word of the provider's, who chooses how long pages are."""
    has_keys: bool = False
    """Whether a request that starts a batch has a key of its own, so that a second one starts no second batch."""
    lines_are_texts: bool = False
    """Whether lines hold nothing but the texts of embeddings; what they have in common is said with the batch."""
    files: Files = Files()

    def page(self, site: Site, *, limit: int, after: str | None = None) -> Call[BatchPage]:
        """Return at most `limit` batches, newest first, after the one that the last page ended with.

        With cursors there may be more: the provider chooses how many, and none of them may be lost.
        """
        query = {} if self.has_cursors else {"limit": str(limit)}
        if after is not None:
            query["cursor" if self.has_cursors else "after"] = after
        response = yield get_request(site, f"/batches?{urlencode(query)}".rstrip("?"))
        said = decode(success(response, site), BatchList, site=site)
        batches = tuple(item.read() for item in said.data)
        following = said.cursor if self.has_cursors else batches[-1].id if said.has_more and batches else None
        return BatchPage(batches, following if batches else None)

    def get(self, site: Site, batch_id: str) -> Call[Batch]:
        """Return one batch."""
        response = yield get_request(site, f"/batches/{quote(batch_id, safe='')}")
        return decode(success(response, site), BatchObject, site=site).read()

    def framing(self, order: BatchOrder) -> Framing:
        """Raise TypeError: requests are uploaded here, and never sent in the body."""
        raise TypeError(f"The requests of {order.name} are uploaded, not framed.")

    def create(self, site: Site, order: BatchOrder) -> Call[Batch]:
        """Start a batch. The request is never repeated: a second one would be a second bill; spec 1.2."""
        said: dict[str, object] = {
            "input_file_id": order.input_file_id,
            "endpoint": order.path,
            "completion_window": self.window,
            "metadata": order.notes,
        }
        if self.lines_are_texts:
            said["request_params"] = order.shared
        key = (("idempotency-key", order.token),) if self.has_keys else ()
        response = yield post_request(
            site, "/batches", body=msgspec.json.encode(said), headers=key, repeat=Repeat.NEVER
        )
        return decode(success(response, site), BatchObject, site=site).read()

    def cancel(self, site: Site, batch_id: str) -> Call[Batch]:
        """Ask a batch to stop; one that is stopping or has stopped is returned as it is."""
        response = yield post_request(site, f"/batches/{quote(batch_id, safe='')}/cancel")
        return decode(success(response, site), BatchObject, site=site).read()

    def line(self, custom_id: str, *, path: str, body: Mapping[str, object], inline: bool) -> bytes:  # noqa: ARG002
        """Return one line of the input file, without its line end."""
        if self.lines_are_texts:
            return msgspec.json.encode({"custom_id": custom_id, "body": {"input": body["input"]}})
        return msgspec.json.encode({"custom_id": custom_id, "method": "POST", "url": path, "body": body})

    def result_files(self, batch: Batch) -> tuple[ResultFile, ...]:
        """Return every file that a batch has left behind, whatever its state and its counts say; spec 10."""
        named = (("output.jsonl", batch.output_file_id), ("error.jsonl", batch.error_file_id))
        return tuple(ResultFile(name=name, id=file_id) for name, file_id in named if file_id is not None)

    def download(self, site: Site, batch: Batch, *, file: ResultFile, sink: Path) -> Call[None]:  # noqa: ARG002
        """Write one of these files to `sink` as it comes."""
        return self.files.download(site, file.id, sink=sink)

    def items(self, document: bytes) -> Iterable[bytes]:
        """Return the results of a file, a line each."""
        return document.splitlines()

    def read_item(self, data: bytes) -> ResultItem:
        """Return how the request of one result line ended, whichever file it stands in; spec 6.

        Raises BadAnswerError for a line that does not even say which request it answers.
        """
        return read_result(data)
