"""The simulated model's answers: from a request's body to the JSON that OpenAI's documentation describes.

Field names and error bodies follow the API reference of chat completions, embeddings and models
(https://platform.openai.com/docs/api-reference). Nothing here depends on anything but the arguments.
"""

import base64
import math
import re
import struct
from collections.abc import Iterable
from hashlib import shake_128
from operator import mul
from typing import TypeAlias

import msgspec

CREATED = 1_767_225_600
"""The moment all simulated answers claim to be made, 2026-01-01 00:00 UTC: answers must not depend on the clock."""
JSON = "application/json"
EVENTS = "text/event-stream"
ECHO_CHARS = 60
MODEL = "simulated"
"""The one model that is listed unless others are told; any other name is answered as well then."""
DIMENSIONS = 1536
"""Of an embedding, where the request does not say."""
DIMENSIONS_MAX = 4096
INPUTS_MAX = 2048
"""Inputs in one embeddings request."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A body that is written piece by piece, each when the client has taken what was before."""

    pieces: Iterable[bytes]
    length: int | None = None
    """Bytes of the whole body; none is not to announce it."""
    pause_s: float = 0.0
    """Time between two pieces, in seconds."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer, before it is written."""

    status: int = 200
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    request_id: str = "req_simulated"
    cut: bool = False
    """Whether to close the connection in mid-body."""
    broken: bool = False
    """Whether the body is spoilt on purpose, by a cut or otherwise."""
    stream: Stream | None = None
    """The body, if it comes in pieces; `body` is not looked at then."""
    reset: bool = False
    """Whether to reset the connection instead of answering; nothing else is looked at then."""


class RefusedError(ValueError):
    """A request's body is not what the endpoint takes. `param` is the field at fault, where known."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class _Part(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content if part.text)
        return self.content or ""


class ChatQuestion(msgspec.Struct):
    """What is read of a chat completion request."""

    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: dict[str, object] | None = None

    @property
    def content_type(self) -> str:
        """Return what kind of text the answer is."""
        return EVENTS if self.stream else JSON

    def check(self) -> None:
        """Raise RefusedError for what is well-formed and yet not answered."""
        if not self.messages:
            raise RefusedError("Invalid 'messages': empty array.", param="messages")

    def text(self) -> str:
        """Return the last user message, which the answer echoes and the witness counts."""
        return next((message.text() for message in reversed(self.messages) if message.role == "user"), "")

    def answer(self, digest: bytes) -> bytes:
        """Return the completion, as a whole or as the events of a stream, a word each."""
        reply = f"Simulated answer to: {self.text()[:ECHO_CHARS]}"
        tokens_in = sum(_tokens(message.text()) for message in self.messages)
        tokens_out = _tokens(reply)
        completion = {
            "id": f"chatcmpl-{digest.hex()}",
            "object": "chat.completion",
            "created": CREATED,
            "model": self.model,
            "system_fingerprint": "simulated",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": reply, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": tokens_in,
                "completion_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
            },
        }
        return self._streamed(completion, reply) if self.stream else msgspec.json.encode(completion)

    def _streamed(self, completion: dict[str, object], reply: str) -> bytes:
        head = {name: completion[name] for name in ("id", "created", "model", "system_fingerprint")}
        head |= {"object": "chat.completion.chunk"}
        deltas = [({"content": word}, None) for word in re.findall(r"\S+\s*|\s+", reply)]
        chunks = [
            head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
            for delta, finish in [({"role": "assistant", "content": ""}, None), *deltas, ({}, "stop")]
        ]
        if (self.stream_options or {}).get("include_usage"):
            chunks.append(head | {"choices": [], "usage": completion["usage"]})
        return b"".join(b"data: %b\n\n" % event for event in [*map(msgspec.json.encode, chunks), b"[DONE]"])


class EmbeddingsQuestion(msgspec.Struct):
    """What is read of an embeddings request."""

    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None

    @property
    def content_type(self) -> str:
        """Return what kind of text the answer is."""
        return JSON

    def check(self) -> None:
        """Raise RefusedError for what is well-formed and yet not answered."""
        inputs = self._inputs()
        if not inputs or "" in inputs or [] in inputs:
            raise RefusedError("Invalid 'input': an empty string or array.", param="input")
        if len({type(one) for one in inputs}) > 1:
            raise RefusedError("Invalid 'input': texts and tokens are mixed.", param="input")
        if len(inputs) > INPUTS_MAX:
            raise RefusedError(f"Invalid 'input': more than {INPUTS_MAX} inputs.", param="input")
        if self.dimensions is not None and not 0 < self.dimensions <= DIMENSIONS_MAX:
            raise RefusedError(f"Invalid 'dimensions': must be from 1 to {DIMENSIONS_MAX}.", param="dimensions")
        if self.encoding_format not in {None, "float", "base64"}:
            raise RefusedError("Invalid 'encoding_format': must be 'float' or 'base64'.", param="encoding_format")

    def text(self) -> str:
        """Return what the witness counts: the one input text, or else the whole input as compact JSON."""
        inputs = self._inputs()
        if len(inputs) == 1 and isinstance(inputs[0], str):
            return inputs[0]
        return msgspec.json.encode(self.input).decode()

    def answer(self, _digest: bytes) -> bytes:
        """Return the embeddings; the same input has the same vector, whatever stands beside it."""
        inputs = self._inputs()
        dimensions = self.dimensions or DIMENSIONS
        packed = self.encoding_format == "base64"
        data = []
        for index, one in enumerate(inputs):
            numbers = vector(one.encode() if isinstance(one, str) else msgspec.json.encode(one), dimensions)
            embedding = base64.b64encode(struct.pack(f"<{dimensions}f", *numbers)).decode() if packed else numbers
            data.append({"object": "embedding", "index": index, "embedding": embedding})
        tokens = sum(_tokens(one) if isinstance(one, str) else len(one) for one in inputs)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return msgspec.json.encode({"object": "list", "data": data, "model": self.model, "usage": usage})

    def _inputs(self) -> list[str | list[int]]:
        if isinstance(self.input, str):
            return [self.input]
        numbers = [one for one in self.input if isinstance(one, int)]
        if not numbers:
            return [one for one in self.input if not isinstance(one, int)]
        if len(numbers) < len(self.input):
            raise RefusedError("Invalid 'input': tokens are mixed with other inputs.", param="input")
        return [numbers]  # A bare list of numbers is one input, in tokens.


Question: TypeAlias = ChatQuestion | EmbeddingsQuestion


def read(body: bytes, kind: type[ChatQuestion] | type[EmbeddingsQuestion]) -> Question:
    """Return the question in a request's body; raise RefusedError if it is none."""
    try:
        question: Question = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise RefusedError(f"The body is not what this endpoint takes: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(f"We could not parse the JSON body of your request: {error}.") from error
    question.check()
    return question


def vector(text: bytes, dimensions: int) -> list[float]:
    """Return a vector of length 1 that follows from the text; a shorter one is a longer one's start, rescaled."""
    drawn = struct.unpack(f"<{dimensions}h", shake_128(text).digest(2 * dimensions))
    numbers = [2 * number + 1 for number in drawn]  # Odd, so that no vector has length 0.
    scale = 1 / math.sqrt(sum(map(mul, numbers, numbers)))
    return [number * scale for number in numbers]


def error_body(message: str, *, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    """Return the JSON of an error; `kind` is what the API calls its type."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def refusal(
    message: str,
    *,
    status: int = 400,
    param: str | None = None,
    code: str | None = None,
    request_id: str = "req_simulated",
) -> Answer:
    """Return the answer to a request that is wrong."""
    body = error_body(message, kind="invalid_request_error", param=param, code=code)
    return Answer(status=status, body=body, request_id=request_id)


def models(names: tuple[str, ...] = (MODEL,)) -> Answer:
    """Return the list of models."""
    listed = [{"id": name, "object": "model", "created": CREATED, "owned_by": "tidyllm"} for name in names]
    return Answer(body=msgspec.json.encode({"object": "list", "data": listed}))


def server_error(request_id: str) -> Answer:
    """Return a 500."""
    message = "The server had an error while processing your request (simulated)."
    return Answer(status=500, body=error_body(message, kind="server_error"), request_id=request_id)


def unavailable(request_id: str) -> Answer:
    """Return a 503 that does not say when to come back."""
    message = "The server is overloaded or not ready yet (simulated)."
    return Answer(status=503, body=error_body(message, kind="server_error"), request_id=request_id)


def rate_limited(request_id: str, retry_after_s: float) -> Answer:
    """Return a 429 that says when to come back."""
    message = f"Rate limit reached (simulated). Please try again in {retry_after_s:g}s."
    return _too_many(message, request_id, headers=(("retry-after", f"{retry_after_s:g}"),))


def over_capacity(request_id: str, retry_after_s: float) -> Answer:
    """Return a 429 to a request that comes while too many are worked on; it says when to come back, unless in 0 s."""
    headers = (("retry-after", f"{retry_after_s:g}"),) if retry_after_s else ()
    return _too_many("Too many requests at the same time (simulated).", request_id, headers=headers)


def no_key(request_id: str) -> Answer:
    """Return the 401 to a request that does not bear the key, which is not told."""
    return refusal("Incorrect API key provided (simulated).", status=401, code="invalid_api_key", request_id=request_id)


def no_model(model: str, request_id: str) -> Answer:
    """Return the 404 to a request for a model that is not there."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return refusal(message, status=404, code="model_not_found", request_id=request_id)


def moved(path: str, request_id: str) -> Answer:
    """Return a 307 to a path where nobody answers."""
    body = error_body("Moved (simulated).", kind="invalid_request_error")
    return Answer(status=307, body=body, headers=(("location", f"/moved{path}"),), request_id=request_id)


def not_json(request_id: str) -> Answer:
    """Return a 200 whose body is a web page, as proxies in front of a model write them."""
    page = b"<html><body>Bad gateway (simulated)</body></html>"
    return Answer(body=page, content_type="text/html", request_id=request_id, broken=True)


def _too_many(message: str, request_id: str, *, headers: tuple[tuple[str, str], ...]) -> Answer:
    body = error_body(message, kind="requests", code="rate_limit_exceeded")
    return Answer(status=429, body=body, headers=headers, request_id=request_id)


def _tokens(text: str) -> int:
    """Return about how many tokens a text has, at four characters each."""
    return (len(text) + 3) // 4
