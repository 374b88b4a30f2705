"""Conversations with a model: the value that a user holds, and the verb that has it answered, with its async twin."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

import msgspec

from tidyllm.client.calls import shown, transport_for
from tidyllm.client.preview import Preview, preview
from tidyllm.client.prices import priced
from tidyllm.client.show import as_html, as_text
from tidyllm.client.targets import chat_of, name_of
from tidyllm.core.crossing import Listener, left_behind
from tidyllm.core.errors import BadAnswerError, PartlyFailedError, SettingError
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.reply import Reply
from tidyllm.core.text import sendable
from tidyllm.core.wire import Call
from tidyllm.dialect import Site
from tidyllm.dialects.asking import Asked, Asker, ask
from tidyllm.provider import Model, resolve_model
from tidyllm.transport.many import adrive_all, drive_all

if TYPE_CHECKING:
    import polars as pl
    from narwhals.typing import IntoDataFrame

_SAID = "What is said"


class LLMMessage(Conversation, frozen=True):
    """A conversation; made by `llm_message`, never changed: what adds a turn to it returns another one."""

    def message(self, text: str) -> "LLMMessage":
        """Return the conversation with one more turn of the user's."""
        return msgspec.structs.replace(self, turns=(*self.turns, UserTurn(sendable(text, called=_SAID))))

    def chat(self, provider: Model | str) -> "LLMMessage":
        """Return the conversation with the model's answer; as the verb `chat` does."""
        return chat(self, provider)

    def reply(self) -> str:
        """Return the text of the last answer.

        Raises SettingError where nothing was answered yet, BadAnswerError where the answer holds no text.
        """
        replies = self._replies()
        if not replies:
            raise SettingError("Nothing was answered yet: have the conversation answered first, by .chat(provider).")
        last = replies[-1]
        if last.text is None:
            why = f"the model declined: {last.refusal}" if last.refusal else f"its finish is {last.finish!r}."
            raise BadAnswerError(f"The last answer holds no text; {why}", body=last.body)
        return last.text

    def metadata(self) -> "pl.DataFrame":
        """Return a table with one row an answer: model, provider, finish, tokens, cost, seconds and request id.

        The cost, in US dollars, is what the provider told, or else what its price list says today for so many tokens;
        null where neither is known.
        """
        # Imported here, because it loads polars.
        from tidyllm.client.frame import replies_frame  # noqa: PLC0415

        return replies_frame(map(priced, self._replies()))

    def logprobs(self) -> "pl.DataFrame":
        """Return a table with one row a token: how likely it was, in which answer, and what else it could have been.

        It has no rows unless the model was made with `logprobs=True`, or a number for so many alternatives.
        """
        # Imported here, because it loads polars.
        from tidyllm.client.talk_frame import tokens_frame  # noqa: PLC0415

        return tokens_frame(self._replies())

    def to_frame(self) -> "pl.DataFrame":
        """Return the whole conversation as a table, one row a turn: role, content and all fields of an answer."""
        # Imported here, because it loads polars.
        from tidyllm.client.talk_frame import talk_frame  # noqa: PLC0415

        return talk_frame(self)

    @classmethod
    def from_frame(cls, table: "IntoDataFrame") -> "LLMMessage":
        """Return the conversation that a table tells, one row a turn, be it from polars, pandas or Arrow.

            LLMMessage.from_frame(pl.DataFrame({"role": ["user", "assistant"], "content": ["Hi", "Hello."]}))

        The columns `role` (`system`, in the first row alone, `user`, `assistant`) and `content` are enough; of the
        others, those of `to_frame` are taken. Raises SettingError for a table that tells no conversation.
        """
        # Imported here, because it loads polars.
        from tidyllm.client.talk_frame import read_talk  # noqa: PLC0415

        talk = read_talk(table)
        return cls(system=talk.system, turns=talk.turns)

    def to_json(self) -> str:
        """Return the whole conversation as JSON, the answers' raw bodies included."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "LLMMessage":
        """Return the conversation that `to_json` wrote. Raises SettingError for anything else."""
        try:
            if "turns" not in msgspec.json.decode(text, type=dict[str, msgspec.Raw]):
                raise msgspec.ValidationError("it has no turns")
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError) as fault:
            raise SettingError(f"This is no conversation that to_json wrote: {fault}") from fault

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)

    def _replies(self) -> list[Reply]:
        return [turn.reply for turn in self.turns if isinstance(turn, AssistantTurn)]


Conversations: TypeAlias = list[str] | list[LLMMessage] | list[str | LLMMessage]
"""Several at once; a text stands for a conversation that it opens."""


def llm_message(text: str, *, system: str | None = None) -> LLMMessage:
    """Return a conversation that the user opens with `text`.

        llm_message("Who was Konrad Zuse?", system="Be brief.").chat(openai()).reply()

    `system` tells the model how to behave.
    """
    return LLMMessage(
        system=None if system is None else sendable(system, called=_SAID),
        turns=(UserTurn(sendable(text, called=_SAID)),),
    )


@overload
def chat(data: str | LLMMessage, provider: Model | str, *, dry_run: Literal[False] = False) -> LLMMessage: ...
@overload
def chat(data: Conversations, provider: Model | str, *, dry_run: Literal[False] = False) -> list[LLMMessage]: ...
@overload
def chat(data: str | LLMMessage, provider: Model | str, *, dry_run: Literal[True]) -> Preview: ...
@overload
def chat(data: Conversations, provider: Model | str, *, dry_run: Literal[True]) -> list[Preview]: ...
def chat(
    data: str | LLMMessage | Conversations, provider: Model | str, *, dry_run: bool = False
) -> LLMMessage | list[LLMMessage] | Preview | list[Preview]:
    """Have a conversation answered, and return it with the answer as one more turn.

        chat("Who was Konrad Zuse?", openai()).reply()

    A text stands for the conversation that it opens. A list gives a list, answered several at a time; a failure among
    them is told when all are done. With `dry_run` you get what would be sent, and nothing is.

    Raises SettingError, before anything is sent, for a conversation in which it is not the user who spoke last;
    ApiError and its kin as the provider answers; of a list PartlyFailedError, whose `results` has what was answered,
    unless nothing was. So has the KeyboardInterrupt of Ctrl-C in the middle of a list.
    """
    asked = resolve_model(provider)
    talks = opened(data)
    if dry_run:
        previews = planned(talks, asked, how=ask)
        return previews if isinstance(data, list) else previews[0]
    calls = answering(talks, asked, how=ask)
    answered = _unless_failed(drive_all(calls, transport_for(asked, lets_go=True)))
    return answered if isinstance(data, list) else answered[0]


@overload
async def achat(data: str | LLMMessage, provider: Model | str, *, dry_run: Literal[False] = False) -> LLMMessage: ...
@overload
async def achat(data: Conversations, provider: Model | str, *, dry_run: Literal[False] = False) -> list[LLMMessage]: ...
@overload
async def achat(data: str | LLMMessage, provider: Model | str, *, dry_run: Literal[True]) -> Preview: ...
@overload
async def achat(data: Conversations, provider: Model | str, *, dry_run: Literal[True]) -> list[Preview]: ...
async def achat(
    data: str | LLMMessage | Conversations, provider: Model | str, *, dry_run: bool = False
) -> LLMMessage | list[LLMMessage] | Preview | list[Preview]:
    """Do what `chat` does."""
    asked = resolve_model(provider)
    talks = opened(data)
    if dry_run:
        previews = planned(talks, asked, how=ask)
        return previews if isinstance(data, list) else previews[0]
    calls = answering(talks, asked, how=ask)
    answered = _unless_failed(await adrive_all(calls, transport_for(asked, lets_go=True)))
    return answered if isinstance(data, list) else answered[0]


def opened(data: object) -> list[LLMMessage]:
    """Return the conversations that are meant. Raises SettingError for one that waits for no answer."""
    talks = [_opened_one(one) for one in (data if isinstance(data, list) else [data])]
    for number, talk in enumerate(talks, 1):
        if not talk.turns or not isinstance(talk.turns[-1], UserTurn):
            which = f"Conversation {number} of the list" if isinstance(data, list) else "The conversation"
            raise SettingError(f"{which} does not end with the user's turn: add one first, by .message(text).")
    return talks


def answering(talks: Sequence[LLMMessage], model: Model, *, how: Asker) -> list[Call[LLMMessage]]:
    """Return the calls that have the conversations answered, at once or in pieces."""
    asked = _asked(model, model.site)
    return [_answered(talk, how(asked, talk)) for talk in talks]


def planned(talks: Sequence[LLMMessage], model: Model, *, how: Asker) -> list[Preview]:
    """Return what would be sent, and what of each conversation the model would not be told."""
    asked = _asked(model, shown(model).site)
    listener = Listener(model.provider.name, asked.model, asked.dialect.api)
    return [preview(how(asked, talk), left_behind=left_behind(talk, listener)) for talk in talks]


def _opened_one(given: object) -> LLMMessage:
    if isinstance(given, LLMMessage):
        return given
    if isinstance(given, str):
        return llm_message(given)
    raise SettingError(
        f"chat takes a text, a conversation, or a list of them, not {type(given).__name__}. For a table: send_batch."
    )


def _asked(model: Model, site: Site) -> Asked:
    return Asked(dialect=chat_of(model), site=site, model=name_of(model), params=model.params)


def _answered(talk: LLMMessage, asking: Call[Reply]) -> Call[LLMMessage]:
    reply = yield from asking
    return msgspec.structs.replace(talk, turns=(*talk.turns, AssistantTurn(reply)))


def _unless_failed(results: Sequence[LLMMessage | Exception]) -> list[LLMMessage]:
    """Return the results. Raises the first failure where all failed, else PartlyFailedError, which has all."""
    failures = [(number, result) for number, result in enumerate(results, 1) if isinstance(result, Exception)]
    if failures:
        number, first = failures[0]
        if len(failures) == len(results):
            raise first
        message = (
            f"{len(failures)} of {len(results)} conversations were not answered, the first of them number {number}: "
            f"{first} The exception's `results` has the answers of the others."
        )
        raise PartlyFailedError(message, results=tuple(results)) from first
    return [result for result in results if isinstance(result, LLMMessage)]
