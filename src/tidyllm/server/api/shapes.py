"""Records as the JSON that OpenAI's API answers: every key present, null when unset."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from tidyllm.core.batch import BatchUsage, Problem
from tidyllm.server.api.errors import JSON_TYPE
from tidyllm.server.records import BatchRecord, FileRecord


def json_response(value: object) -> Response:
    """Return a successful answer with a value as its JSON body."""
    return Response(msgspec.json.encode(value), media_type=JSON_TYPE)


def file_shape(file: FileRecord) -> dict[str, object]:
    """Return a file object; spec/openai-batch 2.2. Its bytes are durable, so its status is always `processed`."""
    return {
        "object": "file",
        "id": file.id,
        "purpose": file.purpose,
        "filename": file.filename,
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "status": "processed",
        "status_details": None,
    }


def deleted_shape(file_id: str) -> dict[str, object]:
    """Return the answer to a deletion; spec/openai-batch 2.4."""
    return {"id": file_id, "object": "file", "deleted": True}


def batch_shape(batch: BatchRecord) -> dict[str, object]:
    """Return a batch object, spec/openai-batch 4.2, with what was asked for beyond OpenAI's parameters."""
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": _problems_shape(batch.problems),
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": batch.status.value,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": batch.created_at,
        "in_progress_at": batch.in_progress_at,
        "expires_at": batch.expires_at,
        "finalizing_at": batch.finalizing_at,
        "completed_at": batch.completed_at,
        "failed_at": batch.failed_at,
        "expired_at": batch.expired_at,
        "cancelling_at": batch.cancelling_at,
        "cancelled_at": batch.cancelled_at,
        "request_counts": {
            "total": batch.counts.total,
            "completed": batch.counts.completed,
            "failed": batch.counts.failed,
        },
        "usage": _usage_shape(batch.usage),
        "metadata": batch.metadata,
        **({"tidyllm": {"in_order": True}} if batch.in_order else {}),
    }


def page_shape(items: Sequence[dict[str, object]], *, has_more: bool) -> dict[str, object]:
    """Return a page of a list; spec/openai-batch 2.3 and 4.5."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": has_more,
    }


def _problems_shape(problems: Sequence[Problem]) -> dict[str, object] | None:
    if not problems:
        return None
    data = [{"code": one.code, "message": one.message, "param": one.param, "line": one.line} for one in problems]
    return {"object": "list", "data": data}


def _usage_shape(usage: BatchUsage) -> dict[str, object]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
