"""Chat Completions: what a request's body says and what an answer's body says; spec/openai-chat 3."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from tidyllm.core.errors import BadAnswerError
from tidyllm.core.media import Kind, Media
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.problem import UNREADABLE, read_problem
from tidyllm.core.reply import Opaque, Reply
from tidyllm.core.rules import Family, Rule, Rules, request_body, words
from tidyllm.core.schema import Schema
from tidyllm.dialect import Site
from tidyllm.dialects.json_schema.form import SchemaForm, form_for
from tidyllm.dialects.media import NO_MEDIA, MediaTaken, data_url, file_name
from tidyllm.dialects.openai.chat_shapes import Choice, Completion, Usage
from tidyllm.dialects.openai.chat_stream import ChunkDecoder
from tidyllm.dialects.usage import read_usage

STANDARD: Rules = {
    "temperature": Rule(field="temperature", low=0, high=2),
    "max_tokens": Rule(field="max_completion_tokens", low=1),
    "top_p": Rule(field="top_p", low=0, high=1),
    "seed": Rule(field="seed"),
    "stop": Rule(field="stop", texts_max=4),
    "frequency_penalty": Rule(field="frequency_penalty", low=-2, high=2),
    "presence_penalty": Rule(field="presence_penalty", low=-2, high=2),
    "effort": words("reasoning_effort", "none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "logprobs": Rule(field="top_logprobs", low=0, high=20, also={"logprobs": True}),
    "top_k": Rule(refusal="top_p= also narrows the choice of tokens."),
    "thoughts": Rule(refusal="This API never tells them."),
}
"""The parameters as OpenAI's documentation has them; spec/openai-chat 3."""


LENIENT: Rules = {
    "temperature": Rule(field="temperature", low=0),
    "max_tokens": Rule(field="max_tokens", low=1),
    "stop": Rule(field="stop"),
    "top_k": Rule(field="top_k", low=-1),
    "thoughts": Rule(words={True: {}}),
}
"""What differs at servers that run open models, of which no bounds are known."""


class ChatCompletions(msgspec.Struct, frozen=True, kw_only=True):
    """The Chat Completions API, with what differs between those who have it."""

    path: str = "/v1/chat/completions"
    rules: Rules = {}
    """Where its parameters differ from the standard."""
    families: tuple[Family, ...] = ()
    asks_usage: bool = True
    """Whether a stream tells of its tokens only when asked to."""
    replays: str | None = None
    """The field of an answer that means something to the server alone, and is given back to it."""
    schema_forms: tuple[SchemaForm, ...] = ()
    """How models are asked for an answer that fits a schema; the last form that holds for a model."""
    media: MediaTaken = NO_MEDIA
    file_part: Literal["file", "document_url"] = "file"
    """How a file is said."""
    api: str = "chat_completions"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return what every request must say besides: nothing."""
        return ()

    def url(self, site: Site, model: str, *, streamed: bool) -> str:
        """Return where a request goes, whatever the model."""
        del model, streamed
        # A base URL ends with the `/v1` that the lines of a batch say themselves.
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
        """Return the request's body. Raises SettingError for what cannot be honoured."""
        fixed: dict[str, object] = {"model": model}
        if schema is not None:
            form = form_for(self.schema_forms, model=model, params=params, streamed=streamed)
            conversation = form.asking(conversation, schema)
            fixed["response_format"] = form.nested(schema)
        fixed["messages"] = self._messages(conversation, model=model)
        if streamed:
            fixed |= {"stream": True} | ({"stream_options": {"include_usage": True}} if self.asks_usage else {})
        rules = {**STANDARD, **self.rules}
        return request_body(fixed, params, model=model, rules=rules, families=self.families)

    def read(self, body: bytes) -> Reply:
        """Return what a successful answer says. Raises BadAnswerError when it is not as documented."""
        try:
            said = msgspec.json.decode(body, type=Completion)
        except UNREADABLE as fault:
            raise BadAnswerError(f"This is no chat completion: {fault}", body=body) from fault
        if not said.choices:
            problem = "The chat completion holds no answer (choices is empty)."
            if said.error is not None:
                problem = f"The answer is an error: {read_problem(body).message or 'no message'}"
            raise BadAnswerError(problem, body=body)
        choice, usage = said.choices[0], read_usage(said.usage, Usage)
        if choice.error is not None:
            raise BadAnswerError(f"The answer is an error: {msgspec.json.encode(choice.error).decode()}", body=body)
        if choice.finish_reason == _FAILED:
            raise BadAnswerError("The answer broke off with an error of which no more is told: ask again.", body=body)
        return Reply(
            text=choice.message.text(),
            refusal=choice.message.refusal or None,
            thoughts=choice.message.told_thoughts(),
            citations=choice.message.citations(),
            finish=_FINISHES.get(choice.finish_reason or "", choice.finish_reason) or None,
            model=said.model or None,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            tokens_cached=usage.cached(),
            tokens_reasoning=usage.reasoning(),
            cost=usage.dollars(),
            logprobs=choice.likelihoods(),
            id=said.id or None,
            request_id=said.request_id(),
            opaque=None if self.replays is None else self._opaque(choice, self.replays),
        )

    def decoder(self) -> ChunkDecoder:
        """Return what reads one streamed answer."""
        return ChunkDecoder(self.read)

    def _messages(self, conversation: Conversation, *, model: str) -> list[Mapping[str, object]]:
        said: list[Mapping[str, object]] = []
        if conversation.system is not None:
            said.append({"role": "system", "content": conversation.system})
        for turn in conversation.turns:
            if isinstance(turn, AssistantTurn):
                said.append({"role": "assistant", "content": turn.text, **self._own(turn.reply)})
            else:
                said.append({"role": "user", "content": self._content(turn, model=model)})
        return said

    def _content(self, turn: UserTurn, *, model: str) -> object:
        """Return what the user said, its images and files behind the text, as in the documentation's examples."""
        if not turn.media:
            return turn.text
        text = [{"type": "text", "text": turn.text}] if turn.text else []
        return [*text, *(self._part(medium, model=model) for medium in turn.media)]

    def _part(self, medium: Media, *, model: str) -> Mapping[str, object]:
        self.media.check(medium, model=model)
        if medium.kind is Kind.IMAGE:
            return {"type": "image_url", "image_url": {"url": data_url(medium)}}
        if self.file_part == "document_url":
            return {"type": "document_url", "document_url": data_url(medium), "document_name": file_name(medium)}
        return {"type": "file", "file": {"filename": file_name(medium), "file_data": data_url(medium)}}

    def _own(self, reply: Reply) -> Mapping[str, object]:
        """Return what of an earlier answer means something to the server alone."""
        if reply.opaque is None or reply.opaque.api != self.api or self.replays is None:
            return {}
        return {self.replays: reply.opaque.data}

    def _opaque(self, choice: Choice, field: str) -> Opaque | None:
        kept = getattr(choice.message, field)
        return Opaque(self.api, kept) if isinstance(kept, list) and kept else None


# Mistral's own word and OpenAI's old one; spec/mistral 3, spec/groq 3.
_FINISHES = {"model_length": "length", "function_call": "tool_calls"}
_FAILED = "error"
"""The reason of an answer that is none; spec/mistral 3, spec/openrouter 3."""
