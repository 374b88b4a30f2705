"""Perplexity's Batch API: responses alone; every line is looked at when it is sent; spec/perplexity 2 and 5."""

from typing import ClassVar

from tests.lifecycle.answers import Json
from tests.lifecycle.fakes import OpenAIBatches, json_answer, lines_of
from tidyllm.core.clock import Clock
from tidyllm.core.wire import Request, Response


class FAKE(OpenAIBatches):
    provider = "perplexity"
    model = "perplexity/sonar"
    endpoints = ("/v1/responses",)
    absent = None
    fields: ClassVar[frozenset[str]] = frozenset(
        {
            *("model", "input", "instructions", "reasoning", "max_output_tokens", "temperature", "top_p"),
            *("response_format", "tools", "tool_choice", "store"),
        }
    )
    """A field of a request that is none of these, of those that a test asks for, is refused."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.keys: dict[str, str] = {}
        """Which batch was started by the request with a key."""

    def upload(self, argument: str, request: Request) -> Response:
        answer = super().upload(argument, request)
        for line in lines_of([*self.files.values()][-1]):
            self.understood(line, {"endpoint": "/v1/responses"})
        return answer

    def create(self, argument: str, request: Request) -> Response:
        key = dict(request.headers)["idempotency-key"]
        if key in self.keys:
            return json_answer(self.shown(self.batches[self.keys[key]]))
        answer = super().create(argument, request)
        self.keys[key] = [*self.batches][-1]
        return answer

    def understood(self, line: Json, said: Json) -> tuple[str, Json]:
        custom_id, body = super().understood(line, said)
        assert body.keys() <= self.fields
        return custom_id, body
