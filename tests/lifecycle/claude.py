"""Claude's Message Batches: requests in the body, results as lines; spec/anthropic 9."""

import json
from typing import ClassVar

from tests.lifecycle.answers import Json
from tests.lifecycle.fakes import (
    DAY_S,
    ENDS,
    BatchFake,
    Kept,
    body_of,
    check_ids,
    json_answer,
    json_of,
    query,
    rfc3339,
    sunk,
)
from tests.lifecycle.fate import CANCELLED, EXPIRED, FAILED, OK, Fate
from tidyllm.core.wire import Request, Response

_BATCHES = "/v1/messages/batches"
_TYPES = {400: "invalid_request_error", 404: "not_found_error", 429: "rate_limit_error", 500: "api_error"}


class FAKE(BatchFake):
    provider = "claude"
    model = "claude-sonnet-5-5"
    routes: ClassVar = {
        "create": ("POST", _BATCHES),
        "page": ("GET", _BATCHES),
        "get": ("GET", rf"{_BATCHES}/([^/]+)"),
        "cancel": ("POST", rf"{_BATCHES}/([^/]+)/cancel"),
        "delete": ("DELETE", rf"{_BATCHES}/([^/]+)"),
        "content": ("GET", rf"{_BATCHES}/([^/]+)/results"),
    }

    def check(self, request: Request, headers: tuple[tuple[str, str], ...]) -> None:
        assert ("anthropic-version", "2023-06-01") in request.headers
        assert "x-api-key" in dict(headers)

    def create(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        assert len(body_of(request)) <= 256_000_000
        said = json_of(request)
        assert said.keys() == {"requests"}
        requests = said["requests"]
        assert isinstance(requests, list)
        assert len(requests) <= 100_000
        for one in requests:
            assert one.keys() == {"custom_id", "params"}
            assert {"model", "max_tokens", "messages"} <= one["params"].keys()
            assert not {"stream", "speed", "fallbacks", "store"} & one["params"].keys()
        check_ids([one["custom_id"] for one in requests], r"[a-zA-Z0-9_-]{1,64}")
        return self.keep(
            Kept(
                id=self.new_id("msgbatch_"),
                said={},
                path="/v1/messages",
                requests=[(one["custom_id"], one["params"]) for one in requests],
                created_at=self.clock.now(),
                status="in_progress",
            )
        )

    def page(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        assert query(request).keys() <= {"limit", "after_id"}
        page, more = self.listed(request, after="after_id", limit="limit")
        ends = {"first_id": page[0].id, "last_id": page[-1].id} if page else {}
        return json_answer({"data": [self.shown(kept) for kept in page], "has_more": more, **ends})

    def cancel(self, argument: str, request: Request) -> Response:
        kept = self.batches.get(argument)
        return (
            self.get(argument, request)
            if kept is not None and kept.status in ENDS
            else super().cancel(argument, request)
        )

    def delete(self, argument: str, request: Request) -> Response:
        answer = super().delete(argument, request)
        return json_answer({"id": argument, "type": "message_batch_deleted"}) if answer.ok else answer

    def content(self, argument: str, request: Request) -> Response:
        kept = self.batches.get(argument)
        if kept is None or kept.is_deleted or kept.status not in ENDS:
            return self.refusal(404, f"There are no results of {argument}.")
        lines = [
            {"custom_id": custom_id, "result": _result(body, fate)} for custom_id, body, fate in kept.ended_requests()
        ]
        return sunk(b"".join(json.dumps(line).encode() + b"\n" for line in lines), request)

    def refusal(self, status: int, message: str) -> Response:
        return json_answer(_error(status, message), status=status)

    def shown(self, kept: Kept) -> Json:
        ended = kept.status in ENDS
        status = "ended" if ended else "canceling" if kept.status == "cancelling" else "in_progress"
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        if ended:
            total, counts["succeeded"], counts["errored"] = kept.counts()
            if not kept.lie:
                counts["canceled"], counts["expired"] = kept.how_many(CANCELLED), kept.how_many(EXPIRED)
            # What the results do not speak of was counted as a success all the same.
            counts["succeeded"] += total - sum(counts.values())
        else:
            counts["processing"] = len(kept.requests)
        return {
            "id": kept.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": counts,
            "created_at": rfc3339(kept.created_at),
            "expires_at": rfc3339(kept.created_at + DAY_S),
            "ended_at": rfc3339(kept.ended_at),
            "cancel_initiated_at": rfc3339(kept.cancelling_at),
            "archived_at": None,
            "results_url": f"https://api.anthropic.com{_BATCHES}/{kept.id}/results" if ended else None,
        }


def _result(body: Json, fate: Fate) -> Json:
    if isinstance(fate, OK):
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [{"type": "text", "text": fate.text}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 8, "output_tokens": 3},
        }
        return {"type": "succeeded", "message": message}
    if isinstance(fate, FAILED):
        return {"type": "errored", "error": _error(fate.status, fate.message)}
    return {"type": {CANCELLED: "canceled", EXPIRED: "expired"}[fate]}  # type: ignore[index]  # there are no vectors


def _error(status: int, message: str) -> Json:
    error = {"type": _TYPES.get(status, "api_error"), "message": message}
    return {"type": "error", "error": error, "request_id": "req_1"}
