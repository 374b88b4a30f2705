"""OpenRouter's batches: requests in the body, results in the batch, no notes, nothing to cancel; spec/openrouter 6."""

import json

from tests.lifecycle.answers import Json
from tests.lifecycle.fakes import ENDS, Kept, OpenAIBatches, json_answer, json_of, sunk
from tidyllm.core.wire import Repeat, Request, Response


class FAKE(OpenAIBatches):
    provider = "openrouter"
    model = "openai/gpt-6.1-sol"
    embed_model = "openai/text-embedding-3-small"
    root = "/api/v1"
    endpoints = ("/v1/chat/completions", "/v1/embeddings")
    unsaid = frozenset({"provider"})
    has_files = False
    has_cancel = False
    has_delete = True

    def create(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        assert request.repeat is Repeat.NEVER
        said = json_of(request)
        # It is read as a stream: what is said of all requests comes before them.
        assert [*said] == ["endpoint", "model", "completion_window", "requests"]
        lines = said.pop("requests")
        assert isinstance(lines, list)
        created = self.begun(said, lines)
        return Response(status=202, body=created.body)

    def understood(self, line: Json, said: Json) -> tuple[str, Json]:
        assert line.keys() == {"custom_id", "body"}
        body = line["body"]
        assert isinstance(body, dict)
        assert not body.keys() & {"stream", "provider", "input_type"}
        assert body["model"] == said["model"]
        return str(line["custom_id"]), body

    def page(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        page, more = self.listed(request, after="after", limit="limit")
        data = [self.shown(kept) | {"results": None} for kept in page]
        return json_answer({"object": "list", "data": data, "has_more": more})

    def get(self, argument: str, request: Request) -> Response:
        shown = super().get(argument, request)
        return sunk(shown.body, request) if shown.ok and request.sink else shown

    def delete(self, argument: str, request: Request) -> Response:
        kept = self.batches.get(argument)
        if kept is not None and kept.status not in ENDS:
            return self.refusal(409, "The batch has not ended.")
        return super().delete(argument, request)

    def shown(self, kept: Kept) -> Json:
        total, completed, failed = kept.counts()
        has_ended, has_failed = kept.status in ENDS, kept.status == "failed"
        return {
            "id": kept.id,
            "object": "batch",
            "endpoint": kept.path,
            "model": kept.said["model"],
            "completion_window": "24h",
            "status": kept.status,
            "created_at": int(kept.created_at),
            "expires_at": None,
            "finalized_at": int(kept.ended_at or 0) if has_ended else None,
            "request_counts": {"total": total, "completed": completed, "failed": failed},
            "usage": {"prompt_tokens": 8 * completed, "completion_tokens": 3 * completed, "cost": 0.01},
            "results": self.results(kept) if has_ended and not has_failed else None,
            "error": {"code": 400, "message": "Request 1 has no messages."} if has_failed else None,
        }

    def results(self, kept: Kept) -> list[Json]:
        """Return what stands in a batch that has ended; of one that ended early, the documentation says null."""
        return [
            {"id": "batch_req_1", "custom_id": custom_id, **self.result(body, fate, path=kept.path)}
            for custom_id, body, fate in kept.ended_requests()
        ]

    def write(self, kept: Kept) -> None:
        """Write nothing: there are no files."""

    def refusal(self, status: int, message: str) -> Response:
        return Response(status=status, body=json.dumps({"error": {"code": status, "message": message}}).encode())
