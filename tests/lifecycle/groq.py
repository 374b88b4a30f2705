"""Groq's Batch API: chat completions; its list has cursors; spec/groq 8 and 9."""

from tests.lifecycle.answers import Json
from tests.lifecycle.fakes import Kept, OpenAIBatches, json_answer, query
from tidyllm.core.wire import Multipart, Request, Response

_PAGE = 20


class FAKE(OpenAIBatches):
    provider = "groq"
    model = "openai/gpt-oss-20b"
    root = "/openai/v1"

    def upload(self, argument: str, request: Request) -> Response:
        assert isinstance(request.body, Multipart)
        assert any((part.filename or "").endswith(".jsonl") for part in request.body.parts)
        return super().upload(argument, request)

    def page(self, argument: str, request: Request) -> Response:  # noqa: ARG002
        asked, newest = query(request), self.newest_first()
        assert asked.keys() <= {"cursor"}
        start = int(asked.get("cursor", "cursor_0").removeprefix("cursor_"))
        end = start + min(self.page_max, _PAGE)
        following = f"cursor_{end}" if end < len(newest) else None
        data = [self.shown(kept) for kept in newest[start:end]]
        return json_answer({"object": "list", "data": data, "paging": {"next_cursor": following}})

    def shown(self, kept: Kept) -> Json:
        # The documentation shows a bare list, where the types of its library have OpenAI's object.
        return super().shown(kept) | {"errors": self.problems() if kept.status == "failed" else None}
