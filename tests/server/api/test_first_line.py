import pytest

from tidyllm.server.api.errors import RefusedError
from tidyllm.server.api.first_line import FIRST_LINE_BYTES_MAX, FirstLine


def check(*pieces: bytes, filename: str = "jobs.jsonl") -> None:
    line = FirstLine()
    for piece in pieces:
        line.feed(piece)
    line.check(filename)


def single_bytes(content: bytes) -> list[bytes]:
    return [content[place : place + 1] for place in range(len(content))]


@pytest.mark.parametrize(
    "content",
    [
        b'{"custom_id":"1"}\n',
        b'{"custom_id":"1"}',
        b'{"custom_id":"1"}\r\nnot json\n',
        b"{}",
        b"\xef\xbb\xbf{}\n",
        b"\xef\xbb\xbf\n{}\n",
        b"\n \n\r\n{}\n",
        b'\n{"name": "\xc3\xa9"}\nrest',
    ],
)
def test_json_first_line_is_accepted_however_it_is_cut(content: bytes) -> None:
    check(content)
    check(*single_bytes(content))


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b" \n\r\n \t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n\n"],
)
def test_file_without_a_line_is_refused(content: bytes) -> None:
    for pieces in ([content], single_bytes(content)):
        with pytest.raises(RefusedError, match=r"Must be \.jsonl with at least one line"):
            check(*pieces)


@pytest.mark.parametrize(
    "content",
    [
        b"id,text\n1,{}\n",
        b"{\n}\n",
        b'{"a": 1}{"b": 2}\n',
        b'"\xff"\n',
        b"\xef\xbb",
        b"[" * 100_000,
        b"\xef\xbb\xbfno\n{}",
    ],
)
def test_first_line_that_is_not_json_is_refused(content: bytes) -> None:
    for pieces in ([content], single_bytes(content)):
        with pytest.raises(RefusedError, match=r"Must be \.jsonl, and its first line is not JSON"):
            check(*pieces)


def test_suffix_may_have_any_case_but_no_other_name() -> None:
    check(b"{}", filename="JOBS.JSONL")
    for filename in ("jobs.json", "upload", "jsonl", "jobs.jsonl.txt"):
        with pytest.raises(RefusedError, match=r"^Invalid file format for Batch API\. Must be \.jsonl$"):
            check(b"{}", filename=filename)


def test_longer_first_line_than_is_kept_is_left_to_the_batch() -> None:
    piece = b"x" * 65_536
    check(*[piece] * (FIRST_LINE_BYTES_MAX // len(piece) + 3))
    check(b"x" * FIRST_LINE_BYTES_MAX, b"x\n{}")
    with pytest.raises(RefusedError, match="not JSON"):
        check(b"x" * FIRST_LINE_BYTES_MAX, b"\n{}")


def test_memory_is_given_back_after_a_long_first_line() -> None:
    line = FirstLine()
    for _ in range(100):
        line.feed(b"x" * 65_536)
    assert len(line._line) == 0
