"""What is left to do in a leased shard: its lines, less those that earlier workers have had answered."""

import msgspec

from tidyllm.core.jsonl import Line
from tidyllm.journal import Kind, Reader, Replay
from tidyllm.server.blob import Blobs
from tidyllm.server.lines import by_prefix, read_shard
from tidyllm.server.places import batch_journals
from tidyllm.server.records import Lease
from tidyllm.server.settings import Settings


class Answer(msgspec.Struct, frozen=True):
    """A line that has its answer."""

    line: int
    kind: Kind
    data: bytes


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard's input and the journals say of it."""

    lines: list[Line]
    """Still to be asked."""
    deaths: dict[int, int]
    """Of those lines, by number, how many workers died while they waited for its answer."""
    answers: list[Answer]
    """Of earlier workers. They may not be durable, and a sync by somebody else proves nothing if one has failed before:
    whoever counts them has to write them again."""


class Leftovers:
    """Reads what a leased shard needs; blocks, and so belongs into a thread."""

    def __init__(self, *, blobs: Blobs, settings: Settings) -> None:
        self._blobs = blobs
        self._data = settings.data

    def read(self, lease: Lease, replay: Replay) -> Rest:
        """Return what is left of a shard; `replay` is that of its batch, and is brought up to date.

        Raises OSError and JournalError.
        """
        shard = lease.shard
        with self._blobs.open(lease.input_blob) as file:
            file.seek(shard.offset)
            lines = list(read_shard(shard, file.read(shard.length)))
        if not lease.in_order:
            lines = by_prefix(lines)
        if lease.epoch == 1:
            return Rest(lines=lines, deaths={}, answers=[])
        replay.update(batch_journals(self._data, lease.batch_id))
        places = {line.number: place for line in lines if (place := replay.answers.get(line.number))}
        with Reader() as reader:
            answers = [Answer(number, place.kind, reader.read(place)) for number, place in places.items()]
        unanswered = [line for line in lines if line.number not in places]
        deaths = {line.number: replay.deaths(line.number) for line in unanswered}
        return Rest(lines=unanswered, deaths=deaths, answers=answers)
