"""GenerateContent: what a request's body says and what an answer's body says; spec/gemini 2 and 3."""

from collections.abc import Iterator, Mapping

import msgspec

from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.problem import UNREADABLE
from tidyllm.core.reply import Opaque, Reply
from tidyllm.core.rules import Family, Rule, Rules, request_body, words
from tidyllm.core.schema import Schema
from tidyllm.dialect import Site
from tidyllm.dialects.gemini.chat_shapes import Candidate, Generated, Usage
from tidyllm.dialects.gemini.chat_stream import ChunkDecoder
from tidyllm.dialects.gemini.names import bare, url_path
from tidyllm.dialects.gemini.parts import media_part
from tidyllm.dialects.json_schema.form import SchemaForm, form_for
from tidyllm.dialects.media import NO_MEDIA, MediaTaken
from tidyllm.dialects.usage import read_usage

STANDARD: Rules = {
    "temperature": Rule(field="generationConfig.temperature", low=0, high=2),
    "max_tokens": Rule(field="generationConfig.maxOutputTokens", low=1),
    "top_p": Rule(field="generationConfig.topP", low=0, high=1),
    "top_k": Rule(field="generationConfig.topK", low=1),
    "seed": Rule(field="generationConfig.seed", low=-(2**31), high=2**31 - 1),
    "stop": Rule(field="generationConfig.stopSequences", texts_max=5),
    "frequency_penalty": Rule(field="generationConfig.frequencyPenalty"),
    "presence_penalty": Rule(field="generationConfig.presencePenalty"),
    "thoughts": Rule(field="generationConfig.thinkingConfig.includeThoughts"),
    "effort": words("generationConfig.thinkingConfig.thinkingLevel", "minimal", "low", "medium", "high"),
    "logprobs": Rule(
        field="generationConfig.logprobs", low=0, high=20, also={"generationConfig.responseLogprobs": True}
    ),
}
"""The parameters as the newest models have them; of the penalties no bounds are documented; spec/gemini 2 and 2d."""


class GenerateContent(msgspec.Struct, frozen=True, kw_only=True):
    """The GenerateContent API."""

    path: str = "/v1beta/models:generateContent"
    """What stands for this API; nothing is sent there, for its URLs name the model."""
    families: tuple[Family, ...] = ()
    schema_forms: tuple[SchemaForm, ...] = ()
    """How models are asked for an answer that fits a schema; the last form that holds for a model."""
    media: MediaTaken = NO_MEDIA
    api: str = "generate_content"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return what every request must say besides: nothing."""
        return ()

    def url(self, site: Site, model: str, *, streamed: bool) -> str:
        """Return where a request goes."""
        verb = "streamGenerateContent?alt=sse" if streamed else "generateContent"
        return f"{site.base_url}{url_path(model)}:{verb}"

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
        _check_one_answer(params.extra)
        fixed: dict[str, object] = {}
        if conversation.system is not None:
            fixed["systemInstruction"] = {"parts": [{"text": conversation.system}]}
        fixed["contents"] = list(self._contents(conversation, model=bare(model)))
        if schema is not None:
            form = form_for(self.schema_forms, model=bare(model), params=params, streamed=streamed)
            json = {"responseMimeType": "application/json", "responseJsonSchema": form.definition(schema)}
            fixed["generationConfig"] = json
        return request_body(fixed, params, model=bare(model), rules=STANDARD, families=self.families)

    def read(self, body: bytes) -> Reply:
        """Return what a successful answer says; that the prompt was blocked is an answer.

        Raises BadAnswerError when it is not as documented.
        """
        try:
            said = msgspec.json.decode(body, type=Generated)
        except UNREADABLE as fault:
            raise BadAnswerError(f"This is no answer of GenerateContent: {fault}", body=body) from fault
        candidate, blocked, usage = said.candidate(), said.refusal(), read_usage(said.usage_metadata, Usage)
        if candidate is None:
            if blocked is None:
                raise BadAnswerError("It holds no answer (candidates is empty), and no reason for that.", body=body)
            candidate = Candidate()
        return Reply(
            text=candidate.text(),
            refusal=blocked or candidate.refusal(),
            thoughts=candidate.thoughts(),
            citations=candidate.citations(),
            finish=candidate.finish() if blocked is None else "content_filter",
            model=said.model_version or None,
            tokens_in=usage.tokens_in(),
            tokens_out=usage.tokens_out(),
            tokens_cached=usage.cached_content_token_count,
            tokens_reasoning=usage.thoughts_token_count,
            logprobs=candidate.likelihoods(),
            id=said.response_id or None,
            opaque=Opaque(self.api, candidate.parts()) if candidate.is_signed() else None,
        )

    def decoder(self) -> ChunkDecoder:
        """Return what reads one streamed answer."""
        return ChunkDecoder(self.read)

    def _contents(self, conversation: Conversation, *, model: str) -> Iterator[Mapping[str, object]]:
        for turn in conversation.turns:
            if isinstance(turn, AssistantTurn):
                yield {"role": "model", "parts": self._own(turn.reply) or [{"text": turn.text}]}
            else:
                yield {"role": "user", "parts": self._parts(turn, model=model)}

    def _parts(self, turn: UserTurn, *, model: str) -> list[Mapping[str, object]]:
        """Return what the user said, its images and files before the text, as the documentation advises.

        https://ai.google.dev/gemini-api/docs/image-understanding#tips-best-practices.
        """
        for medium in turn.media:
            self.media.check(medium, model=model)
        text: list[Mapping[str, object]] = [{"text": turn.text}] if turn.text or not turn.media else []
        return [*map(media_part, turn.media), *text]

    def _own(self, reply: Reply) -> object:
        """Return the pieces of an earlier answer as they came, where the model wants them back; spec/gemini 2b."""
        return reply.opaque.data if reply.opaque is not None and reply.opaque.api == self.api else None


def _check_one_answer(extra: Mapping[str, object]) -> None:
    config = extra.get("generationConfig")
    if isinstance(config, Mapping) and config.get("candidateCount", 1) != 1:
        raise SettingError(
            "extra= asks for several answers to one request (candidateCount), but one is kept: ask again instead."
        )
