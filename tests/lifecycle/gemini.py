"""Gemini's Batch Mode: requests in a file or in the body, results likewise; spec/gemini 8 and 9."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.lifecycle.answers import Json
from tests.lifecycle.fakes import (
    ENDS,
    BatchFake,
    Kept,
    body_of,
    check_ids,
    json_answer,
    json_of,
    lines_of,
    query,
    rfc3339,
)
from tests.lifecycle.fate import CANCELLED, FAILED, OK, VECTOR, Fate, Unanswered
from tidyllm.core.wire import Request, Response

_HOST = "https://generativelanguage.googleapis.com"
_EMBED = "/v1beta/models:batchEmbedContents"
_CHAT = "/v1beta/models:generateContent"
_INLINE_BYTES_MAX = 20_000_000
_STATES = {
    "validating": "PENDING",
    "in_progress": "RUNNING",
    # It says so for a while although it was asked to stop.
    "cancelling": "RUNNING",
    "completed": "SUCCEEDED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
    "expired": "EXPIRED",
}
_CODES = {400: 3, 404: 5, 429: 8, 500: 13, 503: 14}
"""The numbers of google.rpc for HTTP statuses."""


class FAKE(BatchFake):
    provider = "gemini"
    model = "gemini-3.8-flash"
    embed_model = "gemini-embedding-001"
    routes: ClassVar = {
        "upload": ("POST", r"/upload/v1beta/files"),
        "content": ("GET", r"/download/v1beta/(files/[^/]+):download"),
        "create": ("POST", r"/v1beta/models/([^/]+:(?:batchGenerateContent|asyncBatchEmbedContent))"),
        "page": ("GET", r"/v1beta/batches"),
        "get": ("GET", r"/v1beta/(batches/[^/]+)"),
        "cancel": ("POST", r"/v1beta/(batches/[^/]+):cancel"),
        "delete": ("DELETE", r"/v1beta/(batches/[^/]+)"),
    }
    late = False
    """Whether a batch has succeeded before its results are there."""

    def check(self, request: Request, headers: tuple[tuple[str, str], ...]) -> None:
        # The address that an upload goes to holds all that opens it.
        assert ("x-goog-api-key" in dict(headers)) is ("upload_id" not in query(request))

    def upload(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        said = dict(request.headers)
        if said["x-goog-upload-command"] == "start":
            assert said["x-goog-upload-protocol"] == "resumable"
            assert said["x-goog-upload-header-content-type"] == "application/jsonl"
            assert json_of(request).keys() == {"file"}
            upload_id = said["x-goog-upload-header-content-length"]
            url = f"{_HOST}/upload/v1beta/files?upload_id={upload_id}&upload_protocol=resumable"
            return json_answer({}, headers={"x-goog-upload-url": url})
        assert (said["x-goog-upload-command"], said["x-goog-upload-offset"]) == ("upload, finalize", "0")
        content = body_of(request)
        assert len(content) == int(query(request)["upload_id"]) > 0
        file_id = self.new_id("files/")
        self.files[file_id] = content
        return json_answer({"file": {"name": file_id, "state": "ACTIVE", "sizeBytes": str(len(content))}})

    def create(self, argument: str, request: Request) -> Response:
        model, _, verb = argument.partition(":")
        said = json_of(request)
        assert said.keys() == {"batch"}
        batch = said["batch"]
        assert isinstance(batch, dict)
        assert batch.keys() == {"displayName", "inputConfig"}
        assert batch["displayName"]
        path = _EMBED if verb == "asyncBatchEmbedContent" else _CHAT
        requests = self._asked(batch["inputConfig"], request)
        check_ids([key for key, _ in requests])
        for _, body in requests:
            assert "model" not in body
            assert ("contents" if path == _CHAT else "content") in body
        return self.keep(
            Kept(
                id=self.new_id("batches/"),
                said={"model": f"models/{model}", **batch},
                path=path,
                requests=[(key, _as_live(body, path, model)) for key, body in requests],
                created_at=self.clock.now(),
            )
        )

    def page(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        assert query(request).keys() <= {"pageSize", "pageToken"}
        page, more = self.listed(request, after="pageToken", limit="pageSize")
        answer: Json = {"operations": [self._operation(kept, results=False) for kept in page]}
        return json_answer(answer | ({"nextPageToken": page[-1].id} if more else {}))

    def get(self, argument: str, request: Request) -> Response:
        answer = super().get(argument, request)
        if request.sink is None or not answer.ok:
            return answer
        request.sink.write_bytes(answer.body)
        return Response(status=200)

    def cancel(self, argument: str, request: Request) -> Response:
        answer = super().cancel(argument, request)
        return json_answer({}) if answer.ok else answer

    def refusal(self, status: int, message: str) -> Response:
        return json_answer({"error": {"code": status, "message": message, "status": "UNKNOWN"}}, status=status)

    def shown(self, kept: Kept) -> Json:
        return self._operation(kept, results=not self.late)

    def write(self, kept: Kept) -> None:
        if _is_uploaded(kept) and kept.status in ("completed", "cancelled"):
            told = [{"key": key, **self._result(body, fate, kept)} for key, body, fate in kept.ended_requests()]
            kept.files = {"output": self.keep_file(told, "files/batch-")}

    def _asked(self, config: object, request: Request) -> list[tuple[str, Json]]:
        assert isinstance(config, dict)
        if "fileName" in config:
            lines: list[dict[str, Any]] = lines_of(self.files[config["fileName"]])
            assert all(line.keys() == {"key", "request"} for line in lines)
            return [(line["key"], line["request"]) for line in lines]
        assert len(body_of(request)) < _INLINE_BYTES_MAX
        items = config["requests"]["requests"]
        assert all(item.keys() == {"request", "metadata"} for item in items)
        return [(item["metadata"]["key"], item["request"]) for item in items]

    def _operation(self, kept: Kept, *, results: bool) -> Json:
        embeds = kept.path == _EMBED
        kind = "EmbedContentBatch" if embeds else "GenerateContentBatch"
        total, completed, failed = kept.counts()
        pending = 0 if kept.status in ENDS else total
        stats = {"requestCount": total, "pendingRequestCount": pending}
        stats |= {"successfulRequestCount": completed, "failedRequestCount": failed}
        metadata = {
            "@type": f"type.googleapis.com/google.ai.generativelanguage.v1main.{kind}",
            "model": kept.said["model"],
            "displayName": kept.said["displayName"],
            # Either prefix has been seen.
            "state": f"{'JOB' if embeds else 'BATCH'}_STATE_{_STATES[kept.status]}",
            "createTime": _nanoseconds(kept.created_at),
            "batchStats": {name: str(count) for name, count in stats.items() if count},
        }
        done = kept.ended_at is not None
        if kept.ended_at is not None:
            metadata["endTime"] = _nanoseconds(kept.ended_at)
        operation: Json = {"name": kept.id, "metadata": metadata, "done": done}
        if kept.status in ("failed", "cancelled", "expired"):
            operation["error"] = {"code": 1 if kept.status == "cancelled" else 13, "message": f"It {kept.status}."}
        if results and (output := self._output(kept)):
            metadata["output"] = output
            operation["response"] = {"@type": f"type.googleapis.com/{kind}Output", **output}
        return operation

    def _output(self, kept: Kept) -> Json:
        if kept.status not in ("completed", "cancelled"):
            return {}
        if _is_uploaded(kept):
            return {"responsesFile": kept.files["output"]}
        items = [
            {**self._result(body, fate, kept), "metadata": {"key": key}} for key, body, fate in kept.ended_requests()
        ]
        name = "inlinedEmbedContentResponses" if kept.path == _EMBED else "inlinedResponses"
        return {name: {"inlinedResponses": items}}

    def _result(self, body: Json, fate: Fate, kept: Kept) -> Json:
        if isinstance(fate, VECTOR):
            requests = body["requests"]
            assert isinstance(requests, list)
            return {"response": {"tokenCount": "8", "embedding": {"values": fate.values}}}
        if isinstance(fate, OK):
            content = {"role": "model", "parts": [{"text": fate.text}]}
            return {
                "response": {
                    "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
                    "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 3, "totalTokenCount": 11},
                    "modelVersion": str(kept.said["model"]).removeprefix("models/"),
                }
            }
        return {"error": _error(fate)}


def _error(fate: FAILED | Unanswered) -> Json:
    if isinstance(fate, FAILED):
        return {"code": _CODES.get(fate.status, 2), "message": fate.message}
    if fate is CANCELLED:
        return {"code": 1, "message": "The operation was cancelled."}
    return {"code": 4, "message": "The deadline has passed."}


def _is_uploaded(kept: Kept) -> bool:
    config = kept.said["inputConfig"]
    return isinstance(config, dict) and "fileName" in config


def _as_live(body: Mapping[str, object], path: str, model: str) -> Json:
    """Return what the live API would have been asked."""
    return dict(body) if path == _CHAT else {"requests": [{"model": f"models/{model}", **body}]}


def _nanoseconds(seconds: float) -> str:
    told = rfc3339(seconds)
    assert told is not None
    return re.sub(r"(\.\d+)?\+00:00", ".123456789Z", told)
