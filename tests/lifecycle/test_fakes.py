"""Each provider's batch dialect against its fake: what is sent is understood, and what comes back is read."""

import importlib
import json
from array import array
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from tests.lifecycle.answers import Json
from tests.lifecycle.fakes import BatchFake
from tests.lifecycle.fate import CANCELLED, EXPIRED, FAILED, MISSING, OK, VECTOR, Fate
from tidyllm.core.batch import Batch
from tidyllm.core.embeddings import Embeddings
from tidyllm.core.message import Conversation, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.reply import Outcome
from tidyllm.core.wire import Call, Request, Response, T
from tidyllm.dialect import BatchDialect, BatchOrder, ResultItem
from tidyllm.provider import find_provider
from tidyllm.testing import ManualClock
from tidyllm.transport.drive import Transport, drive
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

NAMES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in {"fakes", "fate", "answers", "clock"} and not path.stem.startswith("test_")
)
FATES: Mapping[str, Fate] = {
    "a-1": OK("Yes."),
    "a-2": FAILED(400, "That cannot be."),
    "a-3": EXPIRED,
    "a-4": CANCELLED,
    "a-5": MISSING,
    "a-6": OK("No."),
}


EMBED = -1
"""In place of the number of a chat dialect."""


class World:
    """A provider, and the batches that are sent to it, by one of its ways."""

    def __init__(self, case: tuple[str, bool, int], folder: Path) -> None:
        name, self.inline, self.place = case
        found: type[BatchFake] = importlib.import_module(f"tests.lifecycle.{name}").FAKE
        self.fake = found(ManualClock())
        self.provider = find_provider(self.fake.provider)
        assert self.provider.batch is not None
        self.batches: BatchDialect = self.provider.batch
        address = {} if found.base_url is None else {"base_url": found.base_url}
        self.site = self.provider("m", **address).site  # type: ignore[arg-type]  # there is nothing else in it
        self.requests = folder / "requests.jsonl"
        self.folder = folder

    @property
    def fates(self) -> Mapping[str, Fate]:
        if self.place != EMBED:
            return FATES
        return {name: VECTOR([0.5, -1.0]) if isinstance(fate, OK) else fate for name, fate in FATES.items()}

    def run(self, call: Call[T]) -> T:
        transport = Transport(sender=self.fake, keys=Keys("key"), retry=RetryPolicy(attempts_max=1))
        return drive(call, transport)

    def bodies(self) -> dict[str, Json]:
        """Return the live API's bodies, by custom_id."""
        if self.place == EMBED:
            return {custom_id: _read(self.embedding()[1].body) for custom_id in FATES}
        chat = self.provider.batch_chats[self.place]
        return {
            custom_id: _read(
                msgspec.json.encode(
                    chat.body(self.fake.model, Conversation(turns=(UserTurn(custom_id),)), params=Params())
                )
            )
            for custom_id in FATES
        }

    def embedding(self) -> tuple[Call[Embeddings], Request]:
        """Return a live call for the vector of a text, and its request."""
        embed, model = self.provider.embed, self.fake.embed_model
        assert embed is not None
        assert model is not None
        call = embed.embed(self.site, ["text"], model=model, params=Params())
        request = next(call)
        assert isinstance(request, Request)
        return call, request

    def create(self) -> Batch:
        bodies = self.bodies()
        path, model = self.provider.batch_embed_path, self.fake.embed_model
        if self.place != EMBED:
            path, model = self.provider.batch_chats[self.place].path, self.fake.model
        assert path is not None
        assert model is not None
        order = BatchOrder(
            name="demo",
            token=f"t0k{len(self.fake.batches)}",
            model=model,
            path=path,
            requests=self.requests,
            shared={name: value for name, value in bodies["a-1"].items() if name != "input"},
        )
        lines = [self.batches.line(name, path=path, body=body, inline=self.inline) for name, body in bodies.items()]
        if self.inline:
            framing = self.batches.framing(order)
            self.requests.write_bytes(framing.head + framing.between.join(lines) + framing.tail)
        else:
            self.requests.write_bytes(b"\n".join(lines))
            assert self.provider.files is not None
            file = self.run(self.provider.files.upload(self.site, self.requests, purpose="batch"))
            order = msgspec.structs.replace(order, input_file_id=file.id)
        return self.run(self.batches.create(self.site, order))

    def get(self, batch: Batch) -> Batch:
        return self.run(self.batches.get(self.site, batch.id))

    def results(self, batch: Batch) -> dict[str, ResultItem]:
        found: list[ResultItem] = []
        for file in self.batches.result_files(batch):
            sink = self.folder / file.name
            self.run(self.batches.download(self.site, batch, file=file, sink=sink))
            data = sink.read_bytes()
            items = self.batches.items(data) if file.document else data.splitlines()
            found += [self.batches.read_item(item) for item in items]
        assert len({item.custom_id for item in found}) == len(found)
        return {item.custom_id: item for item in found}

    def said(self, item: ResultItem) -> object:
        """Return what the live dialect reads of an answer."""
        assert item.body is not None
        if self.place != EMBED:
            return self.provider.batch_chats[self.place].read(item.body).text
        call, _ = self.embedding()
        with pytest.raises(StopIteration) as end:
            call.send(Response(status=200, body=item.body))
        assert end.value.value.tokens_in == 8
        return VECTOR(list(array("f", end.value.value.vectors)))


def ways(name: str) -> list[tuple[str, bool, int]]:
    """Return how requests may travel, in the body or not, and of which APIs they may be."""
    provider = find_provider(name)
    assert provider.batch is not None
    travels = ((False, provider.batch.uploads), (True, provider.batch.inline_bytes_max > 0))
    places = [*range(len(provider.batch_chats)), *([] if provider.batch_embed_path is None else [EMBED])]
    return [(name, inline, place) for inline, may in travels if may for place in places]


CASES = [case for name in NAMES for case in ways(name)]


@pytest.fixture(params=CASES, ids=str)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


def test_every_request_comes_back_with_its_fate(world: World) -> None:
    batch = world.create()
    bodies = world.bodies()
    assert [custom_id for custom_id, _ in world.fake.requests(batch.id)] == [*bodies]
    for custom_id, body in world.fake.requests(batch.id):
        # A batch may leave out what its API does not take there, and says nothing of its own.
        assert body == {name: bodies[custom_id][name] for name in body}
    running = world.get(batch)
    assert (running.status.ended, world.batches.result_files(running)) == (False, ())
    world.fake.end(batch.id, world.fates)
    ended = world.get(batch)
    assert (ended.status.value, ended.counts.total) == ("completed", 6)
    items = world.results(ended)
    assert items.keys() == FATES.keys() - {"a-5"}
    assert {custom_id for custom_id, item in items.items() if item.body is not None} == {"a-1", "a-6"}
    for custom_id in ("a-1", "a-6"):
        fate = world.fates[custom_id]
        assert world.said(items[custom_id]) == (fate.text if isinstance(fate, OK) else fate)
    assert items["a-2"].outcome is Outcome.FAILED
    assert "That cannot be." in (items["a-2"].error or "")
    assert all(items[custom_id].error for custom_id in ("a-3", "a-4"))


def test_a_batch_is_found_again_page_by_page(world: World) -> None:
    world.fake.page_max = 2
    made = [world.create() for _ in range(3)]
    world.fake.end(made[0].id, world.fates, lie=True)
    found: list[Batch] = []
    after: str | None = None
    while after is not None or not found:
        page = world.run(world.batches.page(world.site, limit=100, after=after))
        found += page.batches
        after = page.after
    assert [batch.id for batch in found] == [batch.id for batch in reversed(made)]
    assert [batch.status.ended for batch in found] == [False, False, True]
    assert {batch.created_at for batch in found} == {int(world.fake.clock.now())}
    if world.batches.keeps_notes:
        for token, batch in zip(("t0k2", "t0k1", "t0k0"), found, strict=True):
            assert token in batch.metadata.values() or token in (batch.name or "")
    else:
        assert {batch.counts.total for batch in found} == {6}


def test_a_batch_is_stopped_and_deleted(world: World) -> None:
    batch, provider = world.create(), world.provider
    if provider.batch_cancel is not None:
        assert world.run(provider.batch_cancel.cancel(world.site, batch.id)).status.value == "cancelling"
        world.fake.end(batch.id, {"a-1": world.fates["a-1"], "a-2": CANCELLED}, status="cancelled")
        assert world.get(batch).status.value == "cancelled"
        assert world.results(world.get(batch))["a-1"].outcome is Outcome.OK
    else:
        world.fake.end(batch.id, world.fates)
    if provider.batch_delete is not None:
        world.run(provider.batch_delete.delete(world.site, batch.id))
        assert world.run(world.batches.page(world.site, limit=1)).batches == ()


@pytest.mark.parametrize("status", ["expired", "failed"])
def test_a_batch_that_came_to_nothing_says_so(world: World, status: str) -> None:
    batch = world.create()
    world.fake.end(batch.id, dict.fromkeys(FATES, EXPIRED) if status == "expired" else {}, status=status)
    ended = world.get(batch)
    assert ended.status.ended
    assert all(item.body is None for item in world.results(ended).values())


def _read(body: object) -> Json:
    assert isinstance(body, bytes)
    read: Json = json.loads(body)
    return read
