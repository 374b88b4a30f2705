"""Voyage's Batch API: embeddings, what they have in common said with the batch; spec/voyage 7.

https://docs.voyageai.com/docs/batch-inference.
"""

from collections.abc import Mapping
from typing import ClassVar

from tests.lifecycle.answers import Json
from tests.lifecycle.fakes import Kept, OpenAIBatches, rfc3339, sunk
from tests.lifecycle.fate import FAILED, OK, VECTOR, Fate
from tidyllm.core.wire import Request, Response


class FAKE(OpenAIBatches):
    provider = "voyage"
    model = "voyage-4"
    embed_model = "voyage-4"
    endpoints = ("/v1/embeddings",)
    window = "12h"
    absent = None
    more_routes: ClassVar[Mapping[str, tuple[str, str]]] = {"stored": ("GET", "/kept/([^/]+)")}

    def check(self, request: Request, headers: tuple[tuple[str, str], ...]) -> None:
        ours = request.url.startswith("https://api.voyageai.com/")
        assert (request.auth is not None) == ours
        assert ours or headers == ()

    def content(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        if argument not in self.files:
            return self.refusal(404, f"No such File object: {argument}")
        return Response(status=307, headers={"location": f"https://storage.example/kept/{argument}?signature=1"})

    def stored(self, argument: str, request: Request) -> Response:
        return sunk(self.files[argument], request)

    def understood(self, line: Json, said: Json) -> tuple[str, Json]:
        assert line.keys() == {"custom_id", "body"}
        body, shared = line["body"], said["request_params"]
        assert isinstance(body, dict)
        assert isinstance(shared, dict)
        assert body.keys() == {"input"}
        assert "input" not in shared
        return str(line["custom_id"]), shared | body

    def shown(self, kept: Kept) -> Json:
        told = super().shown(kept) | {"expires_at": None}
        return {
            name: rfc3339(value) if name.endswith("_at") and isinstance(value, int) else value
            for name, value in told.items()
        }

    def result(self, body: Json, fate: Fate, *, path: str) -> Json:
        if isinstance(fate, FAILED):
            return {"response": {"status_code": fate.status, "message": fate.message}, "error": None}
        return super().result(body, fate, path=path)

    def live(self, body: Json, fate: OK | VECTOR, *, path: str) -> Json:
        return super().live(body, fate, path=path) | {"usage": {"total_tokens": 8}}
