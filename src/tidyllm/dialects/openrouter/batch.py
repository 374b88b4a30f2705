"""OpenRouter's batches: requests go in the body, and their results come with the batch; spec/openrouter 6.

https://openrouter.ai/docs/batch-quickstart.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec

from tidyllm.core.batch import Batch, BatchStatus, BatchUsage, RequestCounts
from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.problem import UNREADABLE
from tidyllm.core.wire import MIB, Call, Repeat, Request, Response
from tidyllm.dialect import BatchOrder, BatchPage, Framing, ResultFile, ResultItem, Site
from tidyllm.dialects.batches import (
    end_moment,
    get_request,
    known_status,
    post_request,
    read_problems,
)
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.openai.results import read_result
from tidyllm.dialects.openai.shapes import Counts
from tidyllm.dialects.times import unix_seconds

_BODY_BYTES_MAX = 1024 * MIB
"""A batch that has ended is shown with its results: 10,000 vectors of 3,072 numbers are 600 MiB in figures."""
_OURS = "require_parameters"
"""What we ask of routing ourselves. A batch goes to one provider, and nothing of the kind can be asked of it."""
_WITH_RESULTS = (BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED)
"""A batch that failed as a whole has none."""


class Batches(msgspec.Struct, frozen=True):
    """The Batch API. A batch has no name and no notes of ours, and cannot be cancelled."""

    uploads: bool = False
    inline_bytes_max: int = 100_000_000
    keeps_notes: bool = False

    def page(self, site: Site, *, limit: int, after: str | None = None) -> Call[BatchPage]:
        """Return at most `limit` batches, newest first, after the one that the last page ended with."""
        query = {"limit": str(limit)} | ({} if after is None else {"after": after})
        response = yield get_request(site, f"/batches?{urlencode(query)}")
        said = decode(success(response, site), _List, site=site)
        batches = tuple(item.read() for item in said.data)
        return BatchPage(batches, batches[-1].id if said.has_more and batches else None)

    def get(self, site: Site, batch_id: str) -> Call[Batch]:
        """Return one batch; its results, which come with it once it has ended, are passed over."""
        asked = msgspec.structs.replace(_one(site, batch_id), body_bytes_max=_BODY_BYTES_MAX)
        response = yield asked
        return _shown(response, site)

    def framing(self, order: BatchOrder) -> Framing:
        """Return what stands around the requests, which must be the last of the fields."""
        said = {"endpoint": order.path, "model": order.model, "completion_window": "24h"}
        return Framing(head=msgspec.json.encode(said)[:-1] + b',"requests":[\n', tail=b"\n]}")

    def create(self, site: Site, order: BatchOrder) -> Call[Batch]:
        """Start a batch. The request is never repeated: a second one would be a second bill."""
        response = yield post_request(site, "/batches", body=order.requests, repeat=Repeat.NEVER)
        return _shown(response, site)

    def delete(self, site: Site, batch_id: str) -> Call[None]:
        """Delete a batch that has ended, with its results."""
        url = f"{site.base_url}/batches/{quote(batch_id, safe='')}"
        response = yield Request(method="DELETE", url=url, headers=site.headers, auth=site.auth)
        success(response, site)

    def line(self, custom_id: str, *, path: str, body: Mapping[str, object], inline: bool) -> bytes:  # noqa: ARG002
        """Return one request. Raises SettingError for wishes that say who is to answer: batches refuse them."""
        wishes = body.get("provider")
        told = sorted(wishes.keys() - {_OURS}) if isinstance(wishes, Mapping) else []
        if told:
            raise SettingError(
                f"Batches of openrouter cannot be told who is to answer: leave provider ({', '.join(told)}) out of "
                "extra=, or ask by chat()."
            )
        said = {name: value for name, value in body.items() if name != "provider"}
        return msgspec.json.encode({"custom_id": custom_id, "body": said})

    def result_files(self, batch: Batch) -> tuple[ResultFile, ...]:
        """Return the batch itself, in which its results stand."""
        return (ResultFile(name="batch.json", id=batch.id, document=True),) if batch.status in _WITH_RESULTS else ()

    def download(self, site: Site, batch: Batch, *, file: ResultFile, sink: Path) -> Call[None]:  # noqa: ARG002
        """Write the batch with its results to `sink` as it comes."""
        response = yield msgspec.structs.replace(_one(site, file.id), sink=sink)
        success(response, site)

    def items(self, document: bytes) -> Iterable[bytes]:
        """Return the results of a batch; there are none in one that ended before it was done."""
        try:
            said = msgspec.json.decode(document, type=_Results)
        except UNREADABLE as fault:
            raise BadAnswerError(f"This is no batch with its results: {fault}", body=document[:1000]) from fault
        return [bytes(result) for result in said.results or ()]

    def read_item(self, data: bytes) -> ResultItem:
        """Return how the request of one result ended: it is told as OpenAI tells it.

        Raises BadAnswerError for a result that does not even say which request it answers.
        """
        return read_result(data)


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def read(self) -> BatchUsage:
        """Return it in our words."""
        return BatchUsage(input_tokens=self.prompt_tokens or 0, output_tokens=self.completion_tokens or 0)


class _Batch(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    status: str
    created_at: object
    expires_at: object = None
    finalized_at: object = None
    """When it ended, however it did."""
    endpoint: str | None = None
    model: str | None = None
    request_counts: Counts | None = None
    usage: _Usage | None = None
    error: object = None

    def read(self) -> Batch:
        """Return it in our words."""
        status, word = known_status(self.status)
        counts = self.request_counts or Counts()
        batch = Batch(
            id=self.id,
            status=status,
            status_word=word,
            counts=RequestCounts(total=counts.total or 0, completed=counts.completed or 0, failed=counts.failed or 0),
            created_at=unix_seconds(self.created_at) or 0,
            expires_at=unix_seconds(self.expires_at),
            endpoint=self.endpoint or None,
            model=self.model or None,
            usage=self.usage.read() if self.usage else None,
            problems=read_problems(self.error),
        )
        return msgspec.structs.replace(batch, **end_moment(status, unix_seconds(self.finalized_at)))


class _List(msgspec.Struct, frozen=True):
    data: list[_Batch]
    has_more: bool | None = None


class _Results(msgspec.Struct, frozen=True):
    results: list[msgspec.Raw] | None = None


def _shown(response: Response, site: Site) -> Batch:
    # A batch that failed says why in a field that elsewhere stands for a request that failed.
    body = response.body if response.ok else success(response, site)
    return decode(body, _Batch, site=site).read()


def _one(site: Site, batch_id: str) -> Request:
    return get_request(site, f"/batches/{quote(batch_id, safe='')}")
