from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.core.errors import JournalError
from tidyllm.journal import MAGIC, NEAR_BYTES, Kind, Place, Reader, Replay, encode, first_answers, scan

Written = tuple[int, int, int, Kind, bytes]  # shard, epoch, line, kind, data

records = st.tuples(
    st.integers(0, 63), st.integers(1, 5), st.integers(1, 50_000), st.sampled_from(Kind), st.binary(max_size=200)
)


def write(path: Path, written: list[Written]) -> bytes:
    data = MAGIC + b"".join(
        encode(shard=shard, epoch=epoch, line=line, kind=kind, data=data) for shard, epoch, line, kind, data in written
    )
    path.write_bytes(data)
    return data


def read(path: Path) -> list[Written]:
    with Reader() as reader:
        return [(place.shard, place.epoch, line, place.kind, reader.read(place)) for line, place in scan(path)]


@given(st.lists(records, max_size=20))
def test_what_was_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, written: list[Written]) -> None:
    path = tmp_path_factory.mktemp("journal") / "one.log"
    write(path, written)
    assert read(path) == written


@pytest.mark.parametrize("size", [300, NEAR_BYTES - 1, NEAR_BYTES, NEAR_BYTES + 1])
def test_records_are_read_in_any_order_whatever_their_length(tmp_path: Path, size: int) -> None:
    data = {(name, line): f"{name} {line} ".encode() * (size // 4) for name in "ab" for line in range(1, 40)}
    places: list[tuple[str, int, Place]] = []
    for name in "ab":
        write(tmp_path / name, [(0, 1, line, Kind.ANSWERED, data[name, line][:size]) for line in range(1, 40)])
        places += [(name, line, place) for line, place in scan(tmp_path / name)]
    Random(5).shuffle(places)
    with Reader() as reader:
        for name, line, place in places:
            assert reader.read(place) == data[name, line][:size]


@given(st.lists(records, min_size=1, max_size=8), st.data())
def test_a_tail_that_is_cut_off_anywhere_costs_only_the_records_it_touches(
    tmp_path_factory: pytest.TempPathFactory, written: list[Written], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "one.log"
    whole = write(path, written)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    ends = [len(MAGIC + b"".join(_encoded(one) for one in written[: n + 1])) for n in range(len(written))]
    assert read(path) == written[: sum(end <= cut for end in ends)]


@given(st.lists(records, min_size=1, max_size=8), st.data())
def test_reading_stops_at_a_changed_byte(
    tmp_path_factory: pytest.TempPathFactory, written: list[Written], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "one.log"
    whole = bytearray(write(path, written))
    where = data.draw(st.integers(len(MAGIC), len(whole) - 1))
    whole[where] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    ends = [len(MAGIC + b"".join(_encoded(one) for one in written[: n + 1])) for n in range(len(written))]
    assert read(path) == written[: sum(end <= where for end in ends)]


def test_the_first_answer_of_a_line_wins_by_epoch_then_position(tmp_path: Path) -> None:
    old, new = tmp_path / "b.log", tmp_path / "a.log"
    write(old, [(0, 1, 7, Kind.ANSWERED, b"first"), (0, 1, 7, Kind.FAILED, b"again"), (0, 1, 8, Kind.FAILED, b"eight")])
    write(new, [(0, 2, 7, Kind.ANSWERED, b"late"), (0, 2, 9, Kind.ANSWERED, b"nine")])
    with Reader() as reader:
        found = {line: reader.read(place) for line, place in first_answers([new, old]).items()}
    assert found == {7: b"first", 8: b"eight", 9: b"nine"}


@pytest.mark.parametrize("start", [MAGIC[:5], b"\0" * len(MAGIC), b"\0" * 1000])
def test_a_journal_whose_first_line_was_never_durable_is_empty(tmp_path: Path, start: bytes) -> None:
    # After a power cut a file may have its length and not its bytes; a writer syncs them before it appends.
    path = tmp_path / "one.log"
    path.write_bytes(start)
    assert list(scan(path)) == []


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    path.write_bytes(MAGIC.replace(b"1", b"2"))
    with pytest.raises(JournalError, match="another version"):
        list(scan(path))


def test_a_line_is_with_the_upstream_from_its_sending_to_its_return(tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    sent, returned = (0, 1, 7, Kind.SENT, b""), (0, 1, 7, Kind.RETURNED, b"")
    write(path, [sent, returned, sent])
    replay = Replay()
    replay.update([path])
    assert (replay.deaths(7), replay.deaths(8), replay.answers) == (1, 0, {})


@given(st.lists(records, max_size=12), st.data())
def test_reading_on_sees_the_same_as_reading_anew(
    tmp_path_factory: pytest.TempPathFactory, written: list[Written], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "one.log"
    whole = write(path, written)
    replay = Replay()
    for cut in sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4))):
        path.write_bytes(whole[:cut])
        replay.update([path])
    path.write_bytes(whole)
    replay.update([path])
    anew = Replay()
    anew.update([path])
    assert replay.answers == anew.answers == first_answers([path])
    assert [replay.deaths(one[2]) for one in written] == [anew.deaths(one[2]) for one in written]


def _encoded(one: Written) -> bytes:
    shard, epoch, line, kind, data = one
    return encode(shard=shard, epoch=epoch, line=line, kind=kind, data=data)
