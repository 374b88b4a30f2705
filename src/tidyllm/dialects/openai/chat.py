"""Chat Completions: what a request's body says, and what an answer's body says; spec/openai-chat 3."""

import msgspec

from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.message import Message
from tidyllm.core.params import Params
from tidyllm.core.reply import Reply
from tidyllm.dialects.openai.errors import UNREADABLE


class ChatCompletions(msgspec.Struct, frozen=True, kw_only=True):
    """The Chat Completions API, with what differs between those who have it."""

    path: str = "/v1/chat/completions"
    max_tokens_field: str = "max_completion_tokens"
    """`max_tokens` where the newer name is not known."""

    def body(self, model: str, messages: tuple[Message, ...], *, params: Params) -> dict[str, object]:
        """Return the request's body. Raises SettingError for an `extra` field that cannot be honoured."""
        known = {
            "temperature": params.temperature,
            self.max_tokens_field: params.max_tokens,
            "top_p": params.top_p,
            "seed": params.seed,
            "stop": params.stop,
        }
        body: dict[str, object] = {
            "model": model,
            "messages": [{"role": message.role.value, "content": message.text} for message in messages],
        }
        body |= {name: value for name, value in known.items() if value is not None}
        if twice := sorted(body.keys() & params.extra.keys()):
            raise SettingError(f"extra= repeats what the request already says: {', '.join(twice)}.")
        if params.extra.get("n", 1) != 1:
            raise SettingError("extra= asks for several answers a request (n), but a row holds one: repeat the row.")
        return body | params.extra

    def read(self, body: bytes) -> Reply:
        """Return what a successful answer says. Raises BadAnswerError when it is not as documented."""
        try:
            said = msgspec.json.decode(body, type=_Completion)
        except UNREADABLE as fault:
            raise BadAnswerError(f"This is no chat completion: {fault}", body=body) from fault
        if not said.choices:
            raise BadAnswerError("The chat completion holds no answer (choices is empty).", body=body)
        choice, usage = said.choices[0], said.usage or _Usage()
        return Reply(
            text=choice.message.content,
            refusal=choice.message.refusal or None,
            finish=choice.finish_reason or None,
            model=said.model or None,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            id=said.id or None,
        )


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct, frozen=True):
    choices: list[_Choice]
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None
