"""Mistral's batch jobs: chat completions and embeddings; spec/mistral 8 and 9."""

from tests.lifecycle.answers import Json
from tests.lifecycle.fakes import ENDS, Kept, OpenAIBatches, check_notes, json_answer, json_of, lines_of, query
from tests.lifecycle.fate import FAILED, OK, VECTOR, Fate
from tidyllm.core.wire import Request, Response

_WORDS = {
    "validating": "QUEUED",
    "in_progress": "RUNNING",
    "cancelling": "CANCELLATION_REQUESTED",
    "completed": "SUCCESS",
    "failed": "FAILED",
    "expired": "TIMEOUT_EXCEEDED",
    "cancelled": "CANCELLED",
}
_FOREIGN = {"seed", "stream", "stream_options", "max_completion_tokens", "store", "user", "dimensions"}
"""Fields of OpenAI's that are refused."""


class FAKE(OpenAIBatches):
    provider = "mistral"
    model = "mistral-small-latest"
    embed_model = "mistral-embed"
    endpoints = ("/v1/chat/completions", "/v1/embeddings")
    batches_path = "/batch/jobs"
    has_delete = True

    def create(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        said = json_of(request)
        assert said.keys() == {"endpoint", "model", "input_files", "timeout_hours", "metadata"}
        check_notes(said["metadata"])
        (file_id,) = list_of(said["input_files"])
        return self.begun(said, lines_of(self.files[str(file_id)]))

    def understood(self, line: Json, said: Json) -> tuple[str, Json]:
        assert line.keys() == {"custom_id", "body"}
        body = line["body"]
        assert isinstance(body, dict)
        assert not body.keys() & _FOREIGN
        assert body["model"] == said["model"]
        return str(line["custom_id"]), body

    def page(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        asked, newest = query(request), self.newest_first()
        assert asked["order_by"] == "-created"
        size = int(asked["page_size"])
        start = int(asked["page"]) * size
        data = [self.shown(kept) for kept in newest[start : start + size]]
        return json_answer({"object": "list", "data": data, "total": len(newest)})

    def delete(self, argument: str, request: Request) -> Response:
        answer = super().delete(argument, request)
        return json_answer({"id": argument, "object": "batch", "deleted": True}) if answer.ok else answer

    def shown(self, kept: Kept) -> Json:
        total, completed, failed = kept.counts()
        return {
            "id": kept.id,
            "object": "batch",
            "input_files": kept.said["input_files"],
            "endpoint": kept.path,
            "model": kept.said["model"],
            "agent_id": None,
            "metadata": kept.said["metadata"],
            "output_file": kept.files.get("output"),
            "error_file": kept.files.get("error"),
            "errors": [{"message": "Missing messages.", "count": 1}] if kept.status == "failed" else [],
            "status": _WORDS[kept.status],
            "created_at": int(kept.created_at),
            "started_at": None if kept.status == "validating" else int(kept.created_at),
            "completed_at": int(kept.ended_at or 0) if kept.status in ENDS else None,
            "total_requests": total,
            "completed_requests": completed + failed,
            "succeeded_requests": completed,
            "failed_requests": failed,
        }

    def result(self, body: Json, fate: Fate, *, path: str) -> Json:
        if isinstance(fate, OK | VECTOR | FAILED):
            return super().result(body, fate, path=path)
        return {"response": None, "error": f"batch_{fate.value}"}

    def refusal(self, status: int, message: str) -> Response:
        error: Json = {"object": "error", "message": message, "type": "invalid_request", "param": None, "code": "1000"}
        return json_answer(error, status=status)


def list_of(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
