"""Ollama's chat: what a request's body says, and what an answer says, whole or line by line; spec/ollama 2."""

from collections.abc import Callable

import msgspec

from tidyllm.core.errors import BadAnswerError
from tidyllm.core.message import AssistantTurn, Conversation, Turn
from tidyllm.core.params import Params
from tidyllm.core.problem import UNREADABLE
from tidyllm.core.reply import Likely, Reply, TokenLikelihood
from tidyllm.core.rules import Family, Rule, Rules, request_body
from tidyllm.core.schema import Schema
from tidyllm.dialect import Site
from tidyllm.dialects.events import JsonLines, PieceDecoder
from tidyllm.dialects.json_schema.form import SchemaForm, form_for
from tidyllm.dialects.media import NO_MEDIA, MediaTaken, base64_of
from tidyllm.dialects.usage import read_count

STANDARD: Rules = {
    "temperature": Rule(field="options.temperature", low=0),
    "max_tokens": Rule(field="options.num_predict", low=1),
    "top_p": Rule(field="options.top_p", low=0, high=1),
    "top_k": Rule(field="options.top_k", low=1),
    "seed": Rule(field="options.seed"),
    "stop": Rule(field="options.stop"),
    "frequency_penalty": Rule(field="options.frequency_penalty"),
    "presence_penalty": Rule(field="options.presence_penalty"),
    "thoughts": Rule(words={True: {"think": True}}, hint='With effort="none" there are none.'),
    "effort": Rule(
        words={
            "none": {"think": False},
            "low": {"think": "low"},
            "medium": {"think": "medium"},
            "high": {"think": "high"},
            "max": {"think": "max"},
        }
    ),
    "logprobs": Rule(field="top_logprobs", low=0, high=20, also={"logprobs": True}),
}
# Otherwise the server leaves out the oldest turns, or forgets the beginning while it writes, and tells nobody.
_NOTHING_LOST = Family(models=("*",), sends={"truncate": False, "shift": False})
_LOADING = ("load", "unload")
"""Why an answer ended that is none: there were no messages."""


class OllamaChat(msgspec.Struct, frozen=True, kw_only=True):
    """Ollama's own API for chat; its compatible one drops errors in mid-stream and takes fewer options."""

    path: str = "/api/chat"
    schema_forms: tuple[SchemaForm, ...] = ()
    """How models are asked for an answer that fits a schema; the last form that holds for a model."""
    media: MediaTaken = NO_MEDIA
    api: str = "ollama"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return what every request must say besides: nothing."""
        return ()

    def url(self, site: Site, model: str, *, streamed: bool) -> str:
        """Return where a request goes, whatever the model."""
        del model, streamed
        return site.base_url + self.path

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
        # The API streams unless it is told not to.
        fixed: dict[str, object] = {"model": model, "stream": streamed}
        if schema is not None:
            form = form_for(self.schema_forms, model=model, params=params, streamed=streamed)
            conversation = form.asking(conversation, schema)
            fixed["format"] = form.definition(schema)
        said = [self._message(turn, model=model) for turn in conversation.turns]
        if conversation.system is not None:
            said.insert(0, {"role": "system", "content": conversation.system})
        fixed["messages"] = said
        return request_body(fixed, params, model=model, rules=STANDARD, families=(_NOTHING_LOST,))

    def read(self, body: bytes) -> Reply:
        """Return what a successful answer says. Raises BadAnswerError when it is not as documented."""
        try:
            said = msgspec.json.decode(body, type=_Answer)
        except UNREADABLE as fault:
            raise BadAnswerError(f"This is no answer of Ollama's: {fault}", body=body) from fault
        if not said.done or said.done_reason in _LOADING:
            raise BadAnswerError(f"Ollama did not answer; it says {said.done_reason or 'not done'!r}.", body=body)
        return Reply(
            text=said.message.content,
            thoughts=said.message.thinking or None,
            finish=said.done_reason or None,
            model=said.model or None,
            # A count of nothing is left out; spec/ollama 2.
            tokens_in=read_count(said.prompt_eval_count or 0),
            tokens_out=read_count(said.eval_count or 0),
            logprobs=tuple(one.read() for one in said.logprobs or ()),
        )

    def decoder(self) -> "LineDecoder":
        """Return what reads one streamed answer."""
        return LineDecoder(self.read)

    def _message(self, turn: Turn, *, model: str) -> dict[str, object]:
        if isinstance(turn, AssistantTurn):
            return {"role": "assistant", "content": turn.text}
        for medium in turn.media:
            self.media.check(medium, model=model)
        images = {"images": [base64_of(medium) for medium in turn.media]} if turn.media else {}
        return {"role": "user", "content": turn.text, **images}


class LineDecoder(PieceDecoder):
    """Reads the lines of one answer, and puts them together into the one that they are pieces of."""

    def __init__(self, read: Callable[[bytes], Reply]) -> None:
        super().__init__(read, take=self._take, splitter=JsonLines())
        self._last: dict[str, object] = {}
        self._said = {"content": "", "thinking": ""}
        self._logprobs: list[object] = []

    @property
    def ended(self) -> bool:
        """Return whether nothing more is to come."""
        return self.whole or super().ended

    @property
    def whole(self) -> bool:
        """Return whether the model has finished."""
        return self._last.get("done") is True

    def reply(self) -> Reply:
        """Return the answer that came."""
        return self._read(msgspec.json.encode({**self._last, "message": self._said, "logprobs": self._logprobs}))

    def _take(self, line: bytes) -> str:
        piece = msgspec.json.decode(line, type=_Piece)
        if piece.error:
            self.problem = line
            return ""
        self._last = msgspec.json.decode(line, type=dict[str, object])
        self._logprobs += piece.logprobs or []
        text = piece.message.content or ""
        self._said = {
            "content": self._said["content"] + text,
            "thinking": self._said["thinking"] + (piece.message.thinking or ""),
        }
        return text


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None
    thinking: str | None = None


class _Chance(msgspec.Struct, frozen=True):
    """A token and how likely it was."""

    token: str
    logprob: float
    top_logprobs: list[Likely] | None = None

    def read(self) -> TokenLikelihood:
        """Return it in our words."""
        return TokenLikelihood(token=self.token, logprob=self.logprob, alternatives=tuple(self.top_logprobs or ()))


class _Answer(msgspec.Struct, frozen=True):
    message: _Message
    done: bool = False
    done_reason: str | None = None
    model: str | None = None
    prompt_eval_count: object = None
    eval_count: object = None
    logprobs: list[_Chance] | None = None


class _Piece(msgspec.Struct, frozen=True):
    """A line of a stream."""

    message: _Message = _Message()
    logprobs: list[object] | None = None
    error: object = None
