import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.core.batch import Problem
from tidyllm.server.lines import read_request, read_shard
from tidyllm.server.loops.intake import SHARD_BYTES_MAX, Input, read_input
from tidyllm.server.settings import Settings

CHAT = "/v1/chat/completions"


def request(custom_id: object = "row-1", **changes: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **changes.pop("body", {})}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **changes}


def encode(*lines: object) -> bytes:
    return b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in lines)


def read(data: bytes, endpoint: str = CHAT, **settings: int) -> Input | tuple[Problem, ...]:
    return read_input(BytesIO(data), endpoint=endpoint, settings=Settings(**settings))  # type: ignore[arg-type]


def problems(data: bytes, **settings: int) -> list[tuple[str, str | None, int | None]]:
    found = read(data, CHAT, **settings)
    assert isinstance(found, tuple)
    return [(problem.code, problem.param, problem.line) for problem in found]


def without(name: str) -> dict[str, Any]:
    line = request()
    del line[name]
    return line


@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        (b"nonsense\n", "invalid_json_line", None),
        (b'{"custom_id": "\xff"}\n', "invalid_json_line", None),
        (b'{"custom_id": 5, "body": {broken\n', "invalid_json_line", None),
        (b"[" * 100_000 + b"\n", "invalid_json_line", None),
        (b"[1]\n", "invalid_json_line", None),
        (without("custom_id"), "missing_required_parameter", "custom_id"),
        (without("method"), "missing_required_parameter", "method"),
        (without("url"), "missing_required_parameter", "url"),
        (without("body"), "missing_required_parameter", "body"),
        (request(""), "missing_required_parameter", "custom_id"),
        (request(custom_id=7), "invalid_type", "custom_id"),
        ({**request(), "body": "text"}, "invalid_type", "body"),
        (request(body={"model": None}), "missing_required_parameter", "body.model"),
        (request(body={"model": 7}), "invalid_type", "body.model"),
        (request(body={"messages": None}), "missing_required_parameter", "body.messages"),
        (request(body={"stream": "yes"}), "invalid_type", "body.stream"),
        (request(body={"stream": True}), "streaming_unsupported", "body.stream"),
        (request(method="GET"), "invalid_method", "method"),
        (request(url="v1/chat/completions"), "invalid_url", "url"),
        (request(body={"model": "other"}), "mismatched_model", "body.model"),
        (request("row-0"), "duplicate_custom_id", "custom_id"),
        (
            (
                b'{"custom_id":1,"custom_id":"a","method":"POST","url":"/v1/chat/completions",'
                b'"body":{"model":"m","messages":[],"stream":false}}\n'
            ),
            "invalid_json_line",
            None,
        ),
        (
            (
                b'{"custom_id":1,"custom_id":"a","method":"POST","url":"/v1/chat/completions",'
                b'"body":{"model":"m","messages":[]}}\n'
            ),
            "invalid_json_line",
            None,
        ),
    ],
)
def test_a_bad_line_is_named_with_its_fault(line: object, code: str, param: str | None) -> None:
    assert problems(encode(request("row-0"), line, request("row-2"))) == [(code, param, 2)]


def test_every_bad_line_is_named_up_to_a_limit() -> None:
    data = encode(request(), *[b"bad\n"] * 5)
    assert [line for _, _, line in problems(data)] == [2, 3, 4, 5, 6]
    assert [line for _, _, line in problems(data, problems_max=3)] == [2, 3, 4]


def test_a_file_of_blank_lines_is_empty() -> None:
    assert problems(b"\n  \n") == [("empty_file", None, None)]


def test_too_many_lines_are_refused() -> None:
    data = encode(*[request(f"row-{n}") for n in range(4)])
    assert problems(data, batch_requests_max=3) == [("too_many_tasks", None, None)]
    assert isinstance(read(data, batch_requests_max=4), Input)


def test_a_line_that_is_too_long_is_refused() -> None:
    data = encode(request("a"), request("b", body={"messages": "x" * 1000}), request("c"))
    assert problems(data, line_bytes_max=500) == [("invalid_json_line", None, 2)]


def test_each_endpoint_wants_its_own_field() -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "text"}}
    assert isinstance(read(encode(line), endpoint="/v1/embeddings"), Input)
    found = read(encode({**line, "body": {"model": "m"}}), endpoint="/v1/embeddings")
    assert isinstance(found, tuple)
    assert found[0].param == "body.input"


@pytest.mark.parametrize(("requests", "largest"), [(1, 1), (16, 16), (17, 16), (1024, 16), (2000, 32), (40_000, 512)])
def test_a_file_is_cut_into_about_64_shards_of_16_to_512_lines(requests: int, largest: int) -> None:
    line = b'{"custom_id":"%d","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}\n'
    plan = read(b"".join(line % n for n in range(requests)))
    assert isinstance(plan, Input)
    assert max(shard.requests for shard in plan.shards) == largest
    assert sum(shard.requests for shard in plan.shards) == requests


def test_a_shard_has_at_most_4_mib_unless_one_line_is_longer() -> None:
    sizes = [3_000_000, 1_500_000, 100, 5_000_000, 100]
    plan = read(encode(*[request(str(n), body={"messages": "x" * size}) for n, size in enumerate(sizes)]))
    assert isinstance(plan, Input)
    assert [shard.requests for shard in plan.shards] == [1, 2, 1, 1]
    assert all(shard.length <= SHARD_BYTES_MAX for shard in plan.shards if shard.requests > 1)


@given(st.lists(st.sampled_from(["request", "blank"]), max_size=80), st.booleans())
def test_the_shards_hold_every_line_once_with_its_number(kinds: list[str], bom: bool) -> None:  # noqa: FBT001 - drawn
    numbers = [number for number, kind in enumerate(kinds, 1) if kind == "request"]
    parts = [encode(request(f"row-{n}")) if kind == "request" else b"\r\n" for n, kind in enumerate(kinds, 1)]
    data = (b"\xef\xbb\xbf" if bom else b"") + b"".join(parts)
    plan = read(data)
    if not numbers:
        assert not isinstance(plan, Input)
        return
    assert isinstance(plan, Input)
    lines = [
        line for shard in plan.shards for line in read_shard(shard, data[shard.offset : shard.offset + shard.length])
    ]
    assert [line.number for line in lines] == numbers
    assert [read_request(line.data).custom_id for line in lines] == [f"row-{n}" for n in numbers]


@pytest.mark.parametrize(("depth", "good"), [(400, True), (501, False), (1000, False), (100_000, False)])
def test_a_line_that_is_nested_too_deep_is_refused_before_anything_reads_it(depth: int, *, good: bool) -> None:
    line = encode(request()).replace(b'"hi"', b"[" * depth + b'"[{"' + b"]" * depth)
    found = read(line)
    assert isinstance(found, Input) is good
    assert good or (isinstance(found, tuple) and found[0].code == "invalid_json_line")


def test_brackets_side_by_side_or_within_text_are_no_nesting() -> None:
    assert isinstance(read(encode(request(body={"messages": [[]] * 2000 + ['\\"[' * 2000]}))), Input)
