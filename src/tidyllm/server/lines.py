"""Lines of a batch's files: a request line read, a result line written (spec/openai-batch 5.1 and 6)."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from io import BytesIO

import msgspec

from tidyllm.core.batch import BatchUsage
from tidyllm.core.jsonl import Line, read_lines
from tidyllm.dialects.usage import read_usage
from tidyllm.server.records import Shard

MAIN_FIELD = {
    "/v1/chat/completions": "messages",
    "/v1/embeddings": "input",
    "/v1/completions": "prompt",
    "/v1/responses": "input",
    "/v1/moderations": "input",
}
"""The field of a request body that each endpoint cannot do without."""

CANCELLED = ("batch_cancelled", "This request was not executed because the batch was cancelled.")
EXPIRED = ("batch_expired", "This request could not be executed before the completion window expired.")
TOKENS_MAX = 1_000_000_000
"""Of one answer: far above any model's, and so low that the sum over a batch fits into the database's integers."""
TEXT_BYTES_MAX = 2000
"""How much is kept of an HTTP error's body that is not JSON."""
LOST = ("server_error", "The answer to this request could not be read back from the disk.")


class RequestLine(msgspec.Struct, frozen=True):
    """What sending a checked request line needs of it."""

    custom_id: str
    body: msgspec.Raw
    """The JSON to send, byte for byte as it was uploaded."""


class _TokenDetails(msgspec.Struct):
    cached_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class _Usage(msgspec.Struct):
    """Usage in the words of Chat Completions and embeddings, and in those of Responses."""

    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    prompt_tokens_details: _TokenDetails | None = None
    completion_tokens_details: _TokenDetails | None = None
    input_tokens_details: _TokenDetails | None = None
    output_tokens_details: _TokenDetails | None = None


class _Answer(msgspec.Struct):
    usage: object = None


class _Response(msgspec.Struct):
    body: _Answer | None = None


class _ResultLine(msgspec.Struct):
    response: _Response | None = None


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = msgspec.Raw()


class _Prompt(msgspec.Struct):
    messages: list[msgspec.Raw] | None = None
    instructions: msgspec.Raw = msgspec.Raw()


class _PromptLine(msgspec.Struct):
    body: _Prompt


_prompt_line = msgspec.json.Decoder(_PromptLine)
_message = msgspec.json.Decoder(_Message)
_SYSTEM = ("system", "developer")
_request_line = msgspec.json.Decoder(RequestLine)
_answer = msgspec.json.Decoder(_Answer)
_result_line = msgspec.json.Decoder(_ResultLine)


def read_shard(shard: Shard, data: bytes) -> Iterator[Line]:
    """Yield a shard's lines that are not blank, numbered as in the whole input file."""
    return read_lines(BytesIO(data), lines_before=shard.line_first - 1, bytes_before=shard.offset)


def read_request(data: bytes) -> RequestLine:
    """Return the request in a line that intake has checked."""
    return _request_line.decode(data)


def line_id(batch_id: str, line: int) -> str:
    """Return the id of a result line: the same each time the line is written."""
    return "batch_req_" + digest(f"{batch_id}/{line}", 16)


def by_prefix(lines: Sequence[Line]) -> list[Line]:
    """Return lines so that those with the same system prompt follow each other, in the order of the first of each.

    An upstream that keeps what it has read of a prompt, as vLLM does, then reads each system prompt once.
    """
    groups: dict[bytes, list[Line]] = {}
    for line in lines:
        groups.setdefault(_prefix(line.data), []).append(line)
    return [line for group in groups.values() for line in group]


def _prefix(data: bytes) -> bytes:
    """Return the system prompt of a request, as it stands in its line; nothing where there is none."""
    try:
        prompt = _prompt_line.decode(data).body
        if prompt.messages and (first := _message.decode(prompt.messages[0])).role in _SYSTEM:
            return bytes(first.content)
    except msgspec.MsgspecError:
        return b""  # It is the upstream that says what is wrong with it.
    return bytes(prompt.instructions)


def digest(text: str, size: int) -> str:
    """Return 2 x `size` hex digits that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def http_line(*, batch_id: str, line: int, custom_id: str, status: int, request_id: str | None, body: bytes) -> bytes:
    """Return the result line of a request that was answered over HTTP; `body` is JSON and is passed through."""
    if b"\n" in body or b"\r" in body:
        # Between the tokens of JSON a raw line end is white space, and inside strings it is not allowed.
        body = body.replace(b"\n", b" ").replace(b"\r", b" ")
    own_id = line_id(batch_id, line)
    response = {"status_code": status, "request_id": request_id or own_id, "body": msgspec.Raw(body)}
    fields = {"id": own_id, "custom_id": custom_id, "response": response, "error": None}
    return msgspec.json.encode(fields) + b"\n"


def as_json(body: bytes) -> bytes:
    """Return the body of an HTTP error as it is if it is JSON, else its text as the message of an error object."""
    try:
        read_answer(body)
    except ValueError:
        message = body[:TEXT_BYTES_MAX].decode("utf-8", "replace")
        error = {"message": message, "type": "upstream_error", "param": None, "code": None}
        return msgspec.json.encode({"error": error})
    return body


def error_line(*, batch_id: str, line: int, custom_id: str | None, code: str, message: str) -> bytes:
    """Return the result line of a request that has no HTTP answer; its `custom_id` is null where that is lost."""
    fields = {
        "id": line_id(batch_id, line),
        "custom_id": custom_id,
        "response": None,
        "error": {"code": code, "message": message},
    }
    return msgspec.json.encode(fields) + b"\n"


def read_answer(body: bytes) -> BatchUsage:
    """Return the tokens that an answer's body reports, zeros where it reports none.

    Raises ValueError if the body is not JSON in UTF-8: what is broken must never stand in a result file.
    """
    body.decode()
    try:
        return _count(_answer.decode(body).usage)
    except (msgspec.DecodeError, RecursionError):
        # An upstream may escape half a surrogate pair, which msgspec refuses and JSON allows: an answer that was paid
        # for is only broken if the standard library says so too.
        _strict_json(body)
        return BatchUsage()


def _strict_json(body: bytes) -> None:
    def refuse(constant: str) -> object:
        raise ValueError(f"{constant} is not JSON")

    try:
        json.loads(body.decode(), parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def usage_of_line(line: bytes) -> BatchUsage:
    """Return the tokens that a result line's answer reports."""
    try:
        response = _result_line.decode(line).response
    except (msgspec.DecodeError, RecursionError):  # As in read_answer; a line is nested a little deeper than its body.
        return BatchUsage()
    return _count(response.body.usage if response and response.body else None)


def _count(told: object) -> BatchUsage:
    usage = read_usage(told, _Usage)
    details_in = usage.prompt_tokens_details or usage.input_tokens_details
    details_out = usage.completion_tokens_details or usage.output_tokens_details
    return BatchUsage(
        input_tokens=_sane(usage.prompt_tokens or usage.input_tokens),
        cached_tokens=_sane(details_in.cached_tokens if details_in else 0),
        output_tokens=_sane(usage.completion_tokens or usage.output_tokens),
        reasoning_tokens=_sane(details_out.reasoning_tokens if details_out else 0),
    )


def _sane(tokens: int | None) -> int:
    """Return a count as it was reported; 0 for one that cannot be, which would spoil the sum of its batch."""
    return tokens if tokens is not None and 0 <= tokens <= TOKENS_MAX else 0
