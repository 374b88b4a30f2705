"""Azure OpenAI's Batch API, its v1; spec/azure 7, openai-batch 9.1."""

from collections.abc import Mapping
from typing import ClassVar

from tests.lifecycle.answers import Json
from tests.lifecycle.fakes import Kept, OpenAIBatches, json_answer
from tidyllm.core.wire import Request, Response


class FAKE(OpenAIBatches):
    provider = "azure_openai"
    model = "my-deployment"
    base_url = "https://res.openai.azure.com/openai/v1"
    root = "/openai/v1"
    endpoints = ("/v1/chat/completions", "/v1/responses")
    more_routes: ClassVar[Mapping[str, tuple[str, str]]] = {"file": ("GET", "/openai/v1/files/([^/]+)")}
    looks = 1
    """How often a file that was sent is looked at until it is ready."""

    def upload(self, argument: str, request: Request) -> Response:
        super().upload(argument, request)
        return self.file([*self.files][-1], request)

    def file(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        status = "processed" if self.asked.count("file") >= self.looks else "pending"
        return json_answer({"id": argument, "object": "file", "status": status, "purpose": "batch"})

    def create(self, argument: str, request: Request) -> Response:
        if self.asked.count("file") < self.looks:
            return self.refusal(400, "The input file is in 'pending' state.")
        return super().create(argument, request)

    def write(self, kept: Kept) -> None:
        super().write(kept)
        if kept.status != "failed":
            # It is there in any case, and has no bytes where nothing failed.
            kept.files = {"error": self.keep_file([])} | kept.files

    def problems(self) -> list[Json]:
        return [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "line": None}]
