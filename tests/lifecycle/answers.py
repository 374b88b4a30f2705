"""What OpenAI's APIs answer live, for the fakes of all who answer alike."""

import base64
from array import array
from collections.abc import Mapping
from typing import TypeAlias

from tests.lifecycle.fate import OK, VECTOR

Json: TypeAlias = dict[str, object]


def completion(body: Mapping[str, object], fate: OK) -> Json:
    """Return an answer of Chat Completions."""
    message = {"role": "assistant", "content": fate.text, "refusal": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_706_000,
        "model": f"{body['model']}-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11},
    }


def response(body: Mapping[str, object], fate: OK) -> Json:
    """Return an answer of Responses."""
    content = [{"type": "output_text", "text": fate.text, "annotations": []}]
    return {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": f"{body['model']}-2026",
        "error": None,
        "output": [
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content},
        ],
        "usage": {"input_tokens": 8, "output_tokens": 3, "total_tokens": 11},
    }


def embedding(body: Mapping[str, object], fate: VECTOR) -> Json:
    """Return an answer of Embeddings to one text, in the encoding that was asked for."""
    floats = base64.b64encode(array("f", fate.values).tobytes()).decode()
    vector = floats if body.get("encoding_format") == "base64" else fate.values
    return {
        "object": "list",
        "model": f"{body['model']}-2026",
        "data": [{"object": "embedding", "index": 0, "embedding": vector}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
