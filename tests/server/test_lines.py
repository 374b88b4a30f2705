import contextlib
import json

import msgspec
import pytest

from tidyllm.core.batch import BatchUsage
from tidyllm.core.jsonl import Line
from tidyllm.server.lines import (
    as_json,
    by_prefix,
    error_line,
    http_line,
    line_id,
    read_answer,
    read_shard,
    usage_of_line,
)
from tidyllm.server.records import Shard


def line(body: bytes, status: int = 200, request_id: str | None = "req_1") -> bytes:
    return http_line(batch_id="batch_1", line=3, custom_id="row-3", status=status, request_id=request_id, body=body)


def test_a_result_line_is_one_line_whatever_the_upstream_prints() -> None:
    body = json.dumps({"text": "two\nlines"}, indent=2).replace("\n", "\r\n").encode()
    written = line(body)
    assert written.count(b"\n") == 1
    assert b"\r" not in written
    assert written.endswith(b"\n")
    assert json.loads(written) == {
        "id": line_id("batch_1", 3),
        "custom_id": "row-3",
        "response": {"status_code": 200, "request_id": "req_1", "body": {"text": "two\nlines"}},
        "error": None,
    }


def test_the_body_is_passed_through_byte_for_byte() -> None:
    body = b'{"z": 1.0, "a":  1e5, "text": "\\u00e9\xc3\xa9"}'
    assert body in line(body)


def test_a_line_without_a_request_id_gets_its_own() -> None:
    assert json.loads(line(b"{}", request_id=None))["response"]["request_id"] == line_id("batch_1", 3)


def test_line_ids_depend_on_batch_and_line_alone() -> None:
    assert line_id("batch_1", 3) == line_id("batch_1", 3)
    assert len({line_id("batch_1", 3), line_id("batch_1", 4), line_id("batch_2", 3)}) == 3
    assert line_id("batch_1", 3).startswith("batch_req_")


def test_a_request_that_was_not_run_has_an_error_and_no_response() -> None:
    written = error_line(batch_id="b", line=1, custom_id="x", code="batch_cancelled", message="Stopped.")
    assert json.loads(written) == {
        "id": line_id("b", 1),
        "custom_id": "x",
        "response": None,
        "error": {"code": "batch_cancelled", "message": "Stopped."},
    }


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b'{"cut', b'{"a": "\xff"}', b'{"usage": 3, "a": NaN}', b'{"a":1}}', b"[" * 100_000],
)
def test_a_broken_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_answer(body)


@pytest.mark.parametrize("body", [b"[1, 2]", b'"text"', b'{"usage": 3}', b'{"usage": null}', b'{"half": "\\ud800"}'])
def test_an_answer_without_readable_usage_counts_no_tokens(body: bytes) -> None:
    assert read_answer(body) == BatchUsage()


def test_usage_is_read_in_both_vocabularies() -> None:
    chat = b'{"usage":{"prompt_tokens":8,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":5}}}'
    responses = b'{"usage":{"input_tokens":8,"output_tokens":3,"output_tokens_details":{"reasoning_tokens":2}}}'
    assert read_answer(chat) == BatchUsage(input_tokens=8, cached_tokens=5, output_tokens=3)
    assert read_answer(responses) == BatchUsage(input_tokens=8, output_tokens=3, reasoning_tokens=2)
    assert usage_of_line(line(chat)) == read_answer(chat)
    assert read_answer(chat.replace(b"8", b"8.0").replace(b"5", b"5.0")) == read_answer(chat)
    assert usage_of_line(error_line(batch_id="b", line=1, custom_id="x", code="c", message="m")) == BatchUsage()
    assert usage_of_line(line(b'{"usage": 3}')) == BatchUsage()


def test_an_error_body_that_is_not_json_is_kept_as_text() -> None:
    assert (
        json.loads(as_json(b"<h1>Bad \xff Gateway</h1>"))["error"]["message"]
        == "<h1>Bad \N{REPLACEMENT CHARACTER} Gateway</h1>"
    )
    assert as_json(b'{"error": {"message": "no"}}') == b'{"error": {"message": "no"}}'


def test_the_lines_of_a_shard_are_numbered_as_in_the_file() -> None:
    whole = b"first\n\nthird\nfourth\n"
    shard = Shard(number=1, line_first=3, requests=2, offset=7, length=12)
    found = [(one.number, one.offset, one.data) for one in read_shard(shard, whole[7:19])]
    assert found == [(3, 7, b"third"), (4, 13, b"fourth")]


def test_a_body_nested_as_deep_as_can_be_read_makes_a_line_that_can() -> None:
    readable = 0
    for depth in range(900, 1100):
        body = b'{"a":' * depth + b"1" + b"}" * depth
        with contextlib.suppress(ValueError):
            read_answer(body)
            readable += 1
            assert usage_of_line(line(body)) == BatchUsage()
    assert readable


def test_a_byte_order_mark_is_no_json() -> None:
    with pytest.raises(ValueError, match="BOM"):
        read_answer(b"\xef\xbb\xbf{}")


@pytest.mark.parametrize("tokens", [-1, 2**61, 2**63, 2**200])
def test_usage_that_cannot_be_is_no_usage(tokens: int) -> None:
    assert read_answer(b'{"usage":{"prompt_tokens":%d,"completion_tokens":3}}' % tokens).input_tokens == 0


def test_requests_that_share_a_system_prompt_follow_each_other() -> None:
    def request(number: int, body: object) -> Line:
        return Line(number, 0, msgspec.json.encode({"custom_id": str(number), "body": body}))

    def chat(number: int, system: str | None, *, role: str = "system") -> Line:
        first = [] if system is None else [{"role": role, "content": system}]
        return request(number, {"model": "m", "messages": [*first, {"role": "user", "content": str(number)}]})

    lines = [
        chat(1, "a"),
        chat(2, None),
        chat(3, "b"),
        chat(4, "a", role="developer"),
        request(5, {"input": "text"}),
        request(6, {"instructions": "b", "input": "text"}),
        chat(7, "b"),
        request(8, {"messages": "none"}),
        request(9, {"messages": [{"content": "no role"}]}),
        request(10, {"messages": []}),
    ]
    assert [one.number for one in by_prefix(lines)] == [1, 4, 2, 5, 8, 9, 10, 3, 6, 7]
    assert by_prefix([]) == []
