from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from tidyllm.core.jsonl import BOM, read_lines


def test_blank_lines_are_counted_and_skipped() -> None:
    lines = list(read_lines(BytesIO(b'{"a":1}\n\n  \r\n{"b":2}\r\n{"c":3}')))
    assert [(line.number, line.offset, line.data) for line in lines] == [
        (1, 0, b'{"a":1}'),
        (4, 13, b'{"b":2}'),
        (5, 22, b'{"c":3}'),
    ]


def test_a_byte_order_mark_at_the_start_is_no_part_of_the_line() -> None:
    (line,) = read_lines(BytesIO(BOM + b"{}\n"))
    assert (line.number, line.offset, line.data) == (1, 3, b"{}")


def test_reading_ends_with_the_first_line_that_is_too_long() -> None:
    lines = list(read_lines(BytesIO(b"aaaa\n" + b"b" * 50 + b"\ncc\n"), line_bytes_max=4))
    assert [line.number for line in lines] == [1, 2]
    assert 4 < len(lines[1].data) < 50


def test_a_line_as_long_as_the_limit_is_read_whole_whatever_its_end() -> None:
    lines = list(read_lines(BytesIO(BOM + b"aaaa\r\nbbbb\ncccc"), line_bytes_max=4))
    assert [line.data for line in lines] == [b"aaaa", b"bbbb", b"cccc"]


def test_lines_of_a_piece_lie_where_they_do_in_the_whole() -> None:
    whole = b'{"a":1}\n\n{"b":2}\n'
    lines = list(read_lines(BytesIO(whole)))
    assert list(read_lines(BytesIO(whole[9:]), lines_before=2, bytes_before=9)) == lines[1:]


@given(st.lists(st.sampled_from([b"", b" ", b'{"a":1}', b"x" * 40, b"\xff"])), st.sampled_from([b"\n", b"\r\n"]))
def test_every_line_lies_where_it_says(parts: list[bytes], end: bytes) -> None:
    whole = end.join(parts)
    lines = list(read_lines(BytesIO(whole)))
    assert [whole[line.offset : line.offset + len(line.data)] for line in lines] == [p for p in parts if p.strip()]
    assert [line.number for line in lines] == [n for n, part in enumerate(parts, 1) if part.strip()]
