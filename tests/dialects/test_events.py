"""Streams cut into their texts."""

import pytest

from tidyllm.dialects.events import JsonLines, ServerEvents, Splitter

EVENTS = (
    b": keep-alive\r\n\r\nevent: a\r\ndata: {}\r\n\r\ndata:two\r\rdata: three\ndata:  lines\n\n\n\nid: 7\n\n"
    b"error: {broken}\n\ndata: [DONE]\n"
)
LINES = b'{"a": 1}\r\n\n{"b": 2}\n{"cut'


@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
@pytest.mark.parametrize(
    ("make", "stream", "texts"),
    [
        (ServerEvents, EVENTS, [b"{}", b"two", b"three\n lines", b"{broken}", b"[DONE]"]),
        (JsonLines, LINES, [b'{"a": 1}', b'{"b": 2}']),
    ],
)
def test_a_stream_is_cut_into_its_texts_wherever_it_was_cut_before(
    make: type[Splitter], stream: bytes, texts: list[bytes], size: int
) -> None:
    splitter = make()
    found = [text for at in range(0, len(stream), size) for text in splitter.feed(stream[at : at + size])]
    assert found == texts
