"""The Responses API: what a request's body says and what an answer's body says; spec/openai-chat 4."""

from collections.abc import Iterator, Mapping

import msgspec

from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.media import Kind, Media
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.problem import UNREADABLE, read_problem
from tidyllm.core.reply import Opaque, Reply
from tidyllm.core.rules import Family, Rule, Rules, refused, request_body, words
from tidyllm.core.schema import Schema
from tidyllm.dialect import Site
from tidyllm.dialects.json_schema.form import SchemaForm, form_for
from tidyllm.dialects.media import NO_MEDIA, MediaTaken, data_url, file_name
from tidyllm.dialects.openai.responses_shapes import Output, ResponseObject, Usage, output_of
from tidyllm.dialects.openai.responses_stream import EventDecoder
from tidyllm.dialects.usage import read_usage

STANDARD: Rules = {
    "temperature": Rule(field="temperature", low=0, high=2),
    # The lower bound is not in every page of the documentation; spec/openai-chat 4.2.
    "max_tokens": Rule(field="max_output_tokens", low=16),
    "top_p": Rule(field="top_p", low=0, high=1),
    "effort": words("reasoning.effort", "none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "thoughts": Rule(words={True: {"reasoning.summary": "auto"}, False: {}}),
    "logprobs": Rule(field="top_logprobs", low=0, high=20, also={"include": ["message.output_text.logprobs"]}),
    **refused(
        *("seed", "stop", "frequency_penalty", "presence_penalty"),
        why='The Responses API does not have it. Chat Completions has it: api="chat_completions".',
    ),
    "top_k": Rule(refusal="top_p= also narrows the choice of tokens."),
}
"""The parameters as OpenAI's documentation has them; spec/openai-chat 4.2."""

_STATELESS = Family(models=("*",), sends={"store": False})


class Responses(msgspec.Struct, frozen=True, kw_only=True):
    """The Responses API, with what differs between those who have it."""

    path: str = "/v1/responses"
    rules: Rules = {}
    """Where its parameters differ from the standard."""
    families: tuple[Family, ...] = ()
    keeps_reasoning: bool = True
    """Whether thoughts are kept here, encrypted, and not at the provider: they go back with the conversation."""
    known_fields: frozenset[str] | None = None
    """All the fields that a request may have, where one that is not known is an error; null where any may be sent."""
    schema_forms: tuple[SchemaForm, ...] = ()
    """How models are asked for an answer that fits a schema; the last form that holds for a model."""
    nests_format: bool = False
    """Whether the form of an answer is said as in Chat Completions."""
    media: MediaTaken = NO_MEDIA
    api: str = "responses"

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
        self._check_known(params.extra)
        fixed: dict[str, object] = {"model": model, "input": list(self._items(conversation, model=model))}
        if conversation.system is not None:
            fixed["instructions"] = conversation.system
        if streamed:
            fixed["stream"] = True
        if schema is not None:
            form = form_for(self.schema_forms, model=model, params=params, streamed=streamed)
            nests = self.nests_format
            fixed |= {"response_format": form.nested(schema)} if nests else {"text": {"format": form.flat(schema)}}
        families = (_STATELESS, *self.families) if self.keeps_reasoning else self.families
        return request_body(fixed, params, model=model, rules={**STANDARD, **self.rules}, families=families)

    def read(self, body: bytes) -> Reply:
        """Return what a successful answer says. Raises BadAnswerError when it is not as documented."""
        try:
            said = msgspec.json.decode(body, type=ResponseObject)
            output = output_of(said)
        except UNREADABLE as fault:
            raise BadAnswerError(f"This is no answer of the Responses API: {fault}", body=body) from fault
        if said.error is not None or said.status in _FAILED:
            told = read_problem(body).message or "no message"
            raise BadAnswerError(f"The response is {said.status or 'an error'}: {told}", body=body)
        if said.output is None:
            raise BadAnswerError("The response holds no answer (output is missing).", body=body)
        finish, usage = _finish(said, output), read_usage(said.usage, Usage)
        return Reply(
            text=output.text(),
            refusal=output.refusal(),
            thoughts=output.thoughts(),
            citations=output.citations(),
            finish=finish,
            model=said.model or None,
            tokens_in=usage.input_tokens,
            tokens_out=usage.output_tokens,
            tokens_cached=usage.cached(),
            tokens_reasoning=usage.reasoning(),
            cost=usage.total_cost(),
            logprobs=output.likelihoods(),
            id=said.id or None,
            opaque=self._opaque(said, output),
        )

    def decoder(self) -> EventDecoder:
        """Return what reads one streamed answer."""
        return EventDecoder(self.read)

    def _check_known(self, extra: Mapping[str, object]) -> None:
        if self.known_fields is not None and (unknown := sorted(extra.keys() - self.known_fields)):
            known = ", ".join(sorted(self.known_fields))
            raise SettingError(
                f"extra= holds what the API does not know, and refuses: {', '.join(unknown)}. It knows: {known}."
            )

    def _items(self, conversation: Conversation, *, model: str) -> Iterator[object]:
        for turn in conversation.turns:
            if not isinstance(turn, AssistantTurn):
                yield {"type": "message", "role": "user", "content": self._content(turn, model=model)}
            elif isinstance(own := self._own(turn.reply), list):
                yield from own
            else:
                yield {"type": "message", "role": "assistant", "content": turn.text}

    def _content(self, turn: UserTurn, *, model: str) -> object:
        """Return what the user said, its images and files behind the text, as in the documentation's examples."""
        if not turn.media:
            return turn.text
        text = [{"type": "input_text", "text": turn.text}] if turn.text else []
        return [*text, *(self._part(medium, model=model) for medium in turn.media)]

    def _part(self, medium: Media, *, model: str) -> Mapping[str, object]:
        self.media.check(medium, model=model)
        if medium.kind is Kind.IMAGE:
            return {"type": "input_image", "image_url": data_url(medium)}
        if medium.url is not None:
            return {"type": "input_file", "file_url": medium.url}
        return {"type": "input_file", "filename": file_name(medium), "file_data": data_url(medium)}

    def _own(self, reply: Reply) -> object:
        """Return the items of an earlier answer, where they are to be given back as they came."""
        return None if reply.opaque is None or reply.opaque.api != self.api else reply.opaque.data

    def _opaque(self, said: ResponseObject, output: Output) -> Opaque | None:
        """Return all items of an answer with thoughts, where the API takes them back.

        It takes thoughts only with what came of them behind, and calls of tools only with their results, which nobody
        has here; thoughts that are not encrypted are kept nowhere, as nothing is stored.
        """
        kinds = said.kinds()
        if not self.keeps_reasoning or not output.is_encrypted() or output.refusal() is not None:
            return None
        if kinds[-1] != "message" or _CALLS.intersection(kinds):
            return None
        return Opaque(self.api, said.output)


def _finish(said: ResponseObject, output: Output) -> str | None:
    """Return why the model stopped, which the API does not say in one word; spec/openai-chat 4.5."""
    if said.status == "incomplete":
        # Perplexity does not say why; spec/perplexity 3.
        reason = (said.incomplete_details.reason if said.incomplete_details is not None else None) or "length"
        return _REASONS.get(reason, reason)
    if _CALLS.intersection(said.kinds()):
        return "tool_calls"
    if output.refusal() is not None:
        return "content_filter"
    return _STATUSES.get(said.status or "", said.status) or None


_FAILED = ("failed", "cancelled")
_CALLS = frozenset({"function_call", "custom_tool_call"})
"""Kinds of items that wait for the user's side."""
_REASONS = {"max_output_tokens": "length", "max_messages": "length"}
_STATUSES = {"completed": "stop"}
