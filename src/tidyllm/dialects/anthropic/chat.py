"""Messages: what a request's body says and what an answer's body says; spec/anthropic 2 and 3."""

from collections.abc import Iterator, Mapping

import msgspec

from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.media import PDF, Kind, Media
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.problem import UNREADABLE
from tidyllm.core.reply import Opaque, Reply
from tidyllm.core.rules import Family, Rule, Rules, refused, request_body
from tidyllm.core.schema import Schema
from tidyllm.dialect import Site
from tidyllm.dialects.anthropic.shapes import Block, Message, Usage, citations
from tidyllm.dialects.anthropic.stream import EventDecoder
from tidyllm.dialects.json_schema.form import SchemaForm, form_for
from tidyllm.dialects.media import NO_MEDIA, MediaTaken, base64_of
from tidyllm.dialects.usage import read_usage

STANDARD: Rules = {
    "max_tokens": Rule(field="max_tokens", low=1),
    "stop": Rule(field="stop_sequences"),
    **refused("temperature", "top_p", "top_k", why="Newer models choose their words themselves: effort= steers them."),
    **refused("seed", why="Answers of this API do not repeat."),
    **refused("frequency_penalty", "presence_penalty", why="Ask in the system prompt for what it should not repeat."),
    **refused("logprobs", why="This API does not tell how likely its words were."),
}
"""The parameters as the newest models have them, but for thinking, in which each family differs; spec/anthropic 1a."""
_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_FOR_TOOLS = "tool_use"


class Messages(msgspec.Struct, frozen=True, kw_only=True):
    """The Messages API."""

    path: str = "/v1/messages"
    version: str = "2023-06-01"
    """The version of the API: newer ones refuse more."""
    families: tuple[Family, ...] = ()
    """Models that differ; each must be told a `max_tokens`, which the API demands."""
    schema_forms: tuple[SchemaForm, ...] = ()
    """How models are asked for an answer that fits a schema; the last form that holds for a model."""
    media: MediaTaken = NO_MEDIA
    api: str = "messages"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return what every request must say besides."""
        return (("anthropic-version", self.version),)

    def url(self, site: Site, model: str, *, streamed: bool) -> str:
        """Return where a request goes, whatever the model."""
        del model, streamed
        return site.base_url + self.path.removeprefix("/v1")

    def body(
        self,
        model: str,
        conversation: Conversation,
        *,
        params: Params,
        streamed: bool = False,
        schema: Schema | None = None,
    ) -> dict[str, object]:
        """Return the request's body. Raises SettingError for a parameter that cannot be honoured."""
        fixed: dict[str, object] = {"model": model, "messages": list(self._messages(conversation, model=model))}
        if conversation.system is not None:
            fixed["system"] = conversation.system
        if streamed:
            fixed["stream"] = True
        if schema is not None:
            form = form_for(self.schema_forms, model=model, params=params, streamed=streamed)
            fixed["output_config"] = {"format": {"type": "json_schema", "schema": form.definition(schema)}}
        body = request_body(fixed, params, model=model, rules=STANDARD, families=self.families)
        _check_budget(body, model=model)
        return body

    def read(self, body: bytes) -> Reply:
        """Return what a successful answer says. Raises BadAnswerError when it is not as documented."""
        try:
            said = msgspec.json.decode(body, type=Message)
            blocks = said.blocks()
        except UNREADABLE as fault:
            raise BadAnswerError(f"This is no message: {fault}", body=body) from fault
        texts = [block.text for block in blocks if block.text is not None]
        thoughts = [block.thinking for block in blocks if block.thinking]
        usage = read_usage(said.usage, Usage)
        return Reply(
            text="".join(texts) if texts else None,
            refusal=said.refusal(),
            thoughts="\n\n".join(thoughts) or None,
            citations=tuple(citations(blocks)),
            finish=_FINISHES.get(said.stop_reason or "", said.stop_reason) or None,
            model=said.model or None,
            tokens_in=usage.tokens_in(),
            tokens_out=usage.output_tokens,
            tokens_cached=usage.cache_read_input_tokens,
            tokens_reasoning=usage.reasoning(),
            id=said.id or None,
            opaque=Opaque(self.api, said.content) if _is_opaque(blocks) else None,
        )

    def decoder(self) -> EventDecoder:
        """Return what reads one streamed answer."""
        return EventDecoder(self.read)

    def _messages(self, conversation: Conversation, *, model: str) -> Iterator[Mapping[str, object]]:
        for turn in conversation.turns:
            if not isinstance(turn, AssistantTurn):
                yield {"role": "user", "content": self._content(turn, model=model)}
            elif turn.reply.opaque is not None and turn.reply.opaque.api == self.api:
                yield {"role": "assistant", "content": turn.reply.opaque.data}
            # A text of nothing is refused, and there is nothing to be told of it; spec/anthropic 2.
            elif turn.text.strip():
                yield {"role": "assistant", "content": turn.text}

    def _content(self, turn: UserTurn, *, model: str) -> object:
        """Return what the user said, its images and files before the text, as the documentation advises.

        https://platform.claude.com/docs/en/build-with-claude/vision. A text of nothing would be refused.
        """
        if not turn.media:
            return turn.text
        text = [{"type": "text", "text": turn.text}] if turn.text.strip() else []
        return [*(self._block(medium, model=model) for medium in turn.media), *text]

    def _block(self, medium: Media, *, model: str) -> Mapping[str, object]:
        self.media.check(medium, model=model)
        if medium.kind is Kind.IMAGE:
            return {"type": "image", "source": _source(medium)}
        titled = {} if medium.name is None else {"title": medium.name}
        return {"type": "document", "source": _source(medium), **titled}


def _source(medium: Media) -> Mapping[str, object]:
    if medium.url is not None:
        return {"type": "url", "url": medium.url}
    if medium.kind is Kind.FILE and medium.mime_type != PDF:
        # Of texts the API knows this type alone.
        return {"type": "text", "media_type": "text/plain", "data": medium.text}
    return {"type": "base64", "media_type": medium.mime_type, "data": base64_of(medium)}


def _check_budget(body: Mapping[str, object], *, model: str) -> None:
    """Refuse a longest answer that leaves nothing beside the thoughts; spec/anthropic 2d."""
    thinking, longest = body.get("thinking"), body.get("max_tokens")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    if isinstance(budget, int) and isinstance(longest, int) and budget >= longest:
        raise SettingError(
            f"{model} is to think for up to {budget:,} tokens, and max_tokens={longest} must be more than that: raise"
            " max_tokens=, or lower effort=."
        )


def _is_opaque(blocks: list[Block]) -> bool:
    """Return whether the answer holds what only its model can read; one that waits for a tool's result is no answer."""
    return any(not block.is_plain() for block in blocks) and not any(block.type == _FOR_TOOLS for block in blocks)
