"""Chat Completions: what a request's body says, what an answer's body says, and how one is had; spec/openai-chat 3."""

import msgspec

from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.message import AssistantTurn, Conversation
from tidyllm.core.params import Params
from tidyllm.core.reply import Citation, Reply
from tidyllm.core.wire import Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.openai.errors import UNREADABLE, ErrorBody, api_error, read_error, success
from tidyllm.dialects.openai.shapes import InputDetails, OutputDetails


class ChatCompletions(msgspec.Struct, frozen=True, kw_only=True):
    """The Chat Completions API, with what differs between those who have it."""

    path: str = "/v1/chat/completions"
    max_tokens_field: str = "max_completion_tokens"
    """`max_tokens` where the newer name is not known."""

    def body(self, model: str, conversation: Conversation, *, params: Params) -> dict[str, object]:
        """Return the request's body. Raises SettingError for an `extra` field that cannot be honoured."""
        known = {
            "temperature": params.temperature,
            self.max_tokens_field: params.max_tokens,
            "top_p": params.top_p,
            "seed": params.seed,
            "stop": params.stop,
        }
        body: dict[str, object] = {"model": model, "messages": _messages(conversation)}
        body |= {name: value for name, value in known.items() if value is not None}
        if twice := sorted(body.keys() & params.extra.keys()):
            raise SettingError(f"extra= repeats what the request already says: {', '.join(twice)}.")
        if params.extra.get("n", 1) != 1:
            raise SettingError(
                "extra= asks for several answers to one request (n), but one is kept: ask again instead."
            )
        if params.extra.get("stream"):
            raise SettingError("extra= asks for the answer in pieces (stream), but it is read as a whole.")
        return body | params.extra

    def read(self, body: bytes) -> Reply:
        """Return what a successful answer says. Raises BadAnswerError when it is not as documented."""
        try:
            said = msgspec.json.decode(body, type=_Completion)
        except UNREADABLE as fault:
            raise BadAnswerError(f"This is no chat completion: {fault}", body=body) from fault
        if said.error is not None:
            raise BadAnswerError(f"The answer is an error: {read_error(body).message or 'no message'}", body=body)
        if not said.choices:
            raise BadAnswerError("The chat completion holds no answer (choices is empty).", body=body)
        choice, usage = said.choices[0], said.usage or _Usage()
        return Reply(
            text=choice.message.text(),
            refusal=choice.message.refusal or None,
            thoughts=choice.message.thoughts(),
            citations=choice.message.citations(),
            finish=choice.finish_reason or None,
            model=said.model or None,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            tokens_cached=(usage.prompt_tokens_details or InputDetails()).cached_tokens,
            tokens_reasoning=(usage.completion_tokens_details or OutputDetails()).reasoning_tokens,
            id=said.id or None,
        )

    def ask(self, site: Site, conversation: Conversation, *, model: str, params: Params) -> Call[Reply]:
        """Return the model's answer to a conversation, with all that is known of how it came."""
        response = yield Request(
            method="POST",
            # A base URL ends with the `/v1` that the lines of a batch say themselves.
            url=site.base_url + self.path.removeprefix("/v1"),
            headers=(*site.headers, ("content-type", "application/json")),
            body=msgspec.json.encode(self.body(model, conversation, params=params)),
            auth=site.auth,
        )
        body = success(response, site)
        if _is_error(body):
            raise api_error(response, site)
        return msgspec.structs.replace(
            self.read(body),
            provider=site.provider,
            request_id=response.headers.get("x-request-id"),
            seconds=response.seconds,
            body=body,
        )


def _messages(conversation: Conversation) -> list[dict[str, str]]:
    said = [
        {"role": "assistant" if isinstance(turn, AssistantTurn) else "user", "content": turn.text}
        for turn in conversation.turns
    ]
    return said if conversation.system is None else [{"role": "system", "content": conversation.system}, *said]


def _is_error(body: bytes) -> bool:
    """Whether a 200 is an error all the same, as of servers whose own upstream failed."""
    try:
        return msgspec.json.decode(body, type=_Outcome).error is not None
    except UNREADABLE:
        return False


class _UrlCitation(msgspec.Struct, frozen=True):
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Annotation(msgspec.Struct, frozen=True):
    """A remark on the text; other kinds than citations have fields of their own."""

    url_citation: _UrlCitation | None = None


class _Part(msgspec.Struct, frozen=True):
    """A piece of the content; other kinds than text have fields of their own."""

    text: str | None = None


class _Message(msgspec.Struct, frozen=True):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    annotations: list[_Annotation] | None = None
    # OpenAI never tells it; of the compatible servers some say it so, some so, and some send other things than text.
    reasoning_content: object = None
    reasoning: object = None

    def text(self) -> str | None:
        if not isinstance(self.content, list):
            return self.content
        texts = [part.text for part in self.content if part.text is not None]
        return "".join(texts) if texts else None

    def thoughts(self) -> str | None:
        told = (self.reasoning_content, self.reasoning)
        return next((text for text in told if isinstance(text, str) and text), None)

    def citations(self) -> tuple[Citation, ...]:
        named = [remark.url_citation for remark in self.annotations or [] if remark.url_citation is not None]
        return tuple(
            Citation(url=found.url, title=found.title, start=found.start_index, end=found.end_index) for found in named
        )


class _Choice(msgspec.Struct, frozen=True):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None


class _Outcome(msgspec.Struct, frozen=True):
    error: ErrorBody | str | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice] | None = None
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None
    error: ErrorBody | str | None = None
