"""Conversations with a model: the value that a user holds, and the verb that has it answered, with its async twin."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeGuard, TypeVar, Unpack, overload

import msgspec

from tidyllm.client.calls import shown, transport_for
from tidyllm.client.capabilities import chat_of, name_of
from tidyllm.client.chat_batch import achat_by_batch, by_batch, chat_by_batch
from tidyllm.client.chat_list import achat_list, chat_list
from tidyllm.client.chat_table import RunPlan, achat_table, chat_table, plan_table
from tidyllm.client.many import rows_of
from tidyllm.client.media import Attached, attached
from tidyllm.client.plan import plan
from tidyllm.client.preview import Preview, preview
from tidyllm.client.prices import priced
from tidyllm.client.rows import Prompt
from tidyllm.client.run import Answering
from tidyllm.client.run_options import RunOptions, RunSettings, run_settings
from tidyllm.client.schemas import schema_of
from tidyllm.client.show import as_html, as_text
from tidyllm.core.crossing import Listener, left_behind
from tidyllm.core.errors import (
    ApiError,
    BadAnswerError,
    InvalidAnswerError,
    PartlyFailedError,
    SettingError,
    TransportError,
)
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.reply import Reply
from tidyllm.core.schema import Schema
from tidyllm.core.text import sendable
from tidyllm.core.wire import Call
from tidyllm.dialect import Site
from tidyllm.dialects.asking import Asked, Asker, ask
from tidyllm.provider import Model, resolve_model
from tidyllm.transport.drive import adrive, drive

if TYPE_CHECKING:
    import polars as pl
    from narwhals.typing import IntoDataFrame

TableT = TypeVar("TableT", bound="IntoDataFrame")
"""A table, whose kind stays the same."""
C = TypeVar("C", bound=Conversation)
_SAID = "What is said"
_AGAIN = "Answer again, in full, with JSON that fits."


class LLMMessage(Conversation, frozen=True):
    """A conversation; made by `llm_message`, never changed: what adds a turn to it returns another one."""

    def message(self, text: str, *, media: Attached = None) -> "LLMMessage":
        """Return the conversation with one more turn of the user's; `media` is as in `llm_message`."""
        return msgspec.structs.replace(self, turns=(*self.turns, _turn(text, media)))

    def chat(self, provider: Model | str, *, schema: object = None, reask: bool = False) -> "LLMMessage":
        """Return the conversation with the model's answer; as the verb `chat` does."""
        return chat(self, provider, schema=schema, reask=reask)

    def reply(self) -> str:
        """Return the text of the last answer.

        Raises SettingError where nothing was answered yet, BadAnswerError where the answer holds no text.
        """
        last = self._last().reply
        if last.text is None:
            why = f"the model declined: {last.refusal}" if last.refusal else f"its finish is {last.finish!r}."
            raise BadAnswerError(f"The last answer holds no text; {why}", body=last.body)
        return last.text

    def reply_data(self) -> object:
        """Return the data of the last answer, which was asked for with `schema=`.

            talk = chat("Rate this review: ...", openai(), schema=Review)
            talk.reply_data()

        They are an instance of the class that was given as the schema, and plain data for a JSON Schema, for
        `tidyllm_schema`, and in a conversation that was read from JSON. The text stays in `reply()`.

        Raises RefusedAnswerError, TruncatedAnswerError or InvalidAnswerError where the answer is no such data, and
        SettingError where nothing was answered, or without a schema.
        """
        return self._last().data()

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

    def _last(self) -> AssistantTurn:
        turns = [turn for turn in self.turns if isinstance(turn, AssistantTurn)]
        if not turns:
            raise SettingError("Nothing was answered yet: have the conversation answered first, by .chat(provider).")
        return turns[-1]

    def _replies(self) -> list[Reply]:
        return [turn.reply for turn in self.turns if isinstance(turn, AssistantTurn)]


Conversations: TypeAlias = list[str] | list[LLMMessage] | list[str | LLMMessage]
"""Several at once; a text stands for a conversation that it opens."""


def llm_message(text: str, *, system: str | None = None, media: Attached = None) -> LLMMessage:
    """Return a conversation that the user opens with `text`.

        llm_message("Who was Konrad Zuse?", system="Be brief.").chat(openai()).reply()
        llm_message("What is on this?", media=image("photo.jpg")).chat(claude()).reply()

    `system` tells the model how to behave. `media` is an image or a file that goes with the text, as `image` and `file`
    make them, or a list of them.
    """
    return LLMMessage(system=None if system is None else sendable(system, called=_SAID), turns=(_turn(text, media),))


@overload
def chat(
    data: str | LLMMessage,
    provider: Model | str,
    *,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[False] = False,
    **run: Unpack[RunOptions],
) -> LLMMessage: ...
@overload
def chat(
    data: Conversations,
    provider: Model | str,
    *,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[False] = False,
    **run: Unpack[RunOptions],
) -> list[LLMMessage]: ...
@overload
def chat(
    data: str | LLMMessage,
    provider: Model | str,
    *,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[True],
    **run: Unpack[RunOptions],
) -> Preview: ...
@overload
def chat(
    data: Conversations,
    provider: Model | str,
    *,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[True],
    **run: Unpack[RunOptions],
) -> list[Preview]: ...
@overload
def chat(
    data: "TableT",
    provider: Model | str,
    *,
    prompt: Prompt,
    system: str | None = None,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[False] = False,
    **run: Unpack[RunOptions],
) -> "TableT": ...
@overload
def chat(
    data: "TableT",
    provider: Model | str,
    *,
    prompt: Prompt,
    system: str | None = None,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[True],
    **run: Unpack[RunOptions],
) -> RunPlan: ...
def chat(
    data: object,
    provider: Model | str,
    *,
    prompt: Prompt = None,
    system: str | None = None,
    schema: object = None,
    reask: bool = False,
    dry_run: bool = False,
    **run: Unpack[RunOptions],
) -> object:
    """Have a conversation answered, and return it with the answer as one more turn; or a table, with its answers.

        chat("Who was Konrad Zuse?", openai()).reply()
        chat(reviews, openai(), prompt="Rate this review: {text}", name="reviews", budget=20)

    A text stands for the conversation that it opens. A list gives a list, answered as many at a time as the model
    takes; a failure among them is told when all are done. With `dry_run` you get what would be sent, and nothing is.

    Of a table, be it of polars, pandas or Arrow, `prompt` says what each row asks: a text with names of columns in
    braces, or a function of a row that returns a text or a conversation; `system` is such a text as well. `media` names
    the columns of images and files that go with it: paths, https URLs, bytes, what `image` and `file` make. The table
    comes back, of its own kind, with the column `reply` and with what is known of each answer: `llm_status`,
    `llm_error`, `llm_tokens_in`, `llm_cost` in US dollars, and so on. A row that failed says so there. What a run can
    be told, `name=` that makes it a job on disk, ceilings, a budget, is in docs/rows.md.

    `schema` says what the answer must look like: a class (pydantic, dataclass, TypedDict, msgspec), a type (`bool`,
    `list[str]`, `Literal[...]`), a JSON Schema, or `tidyllm_schema(...)`; `reply_data()` has it then, and a table a
    column for each of its fields. An answer that is not so is given back as it is. With `reask` the model is told once
    what is wrong with it, and answers again.

    Raises SettingError, before anything is sent, for a conversation in which it is not the user who spoke last, and for
    a table that does not go with the prompt; ApiError and its kin as the provider answers, of a table only where it
    would meet every row; of a list PartlyFailedError, whose `results` has what was answered, unless nothing was. So has
    the KeyboardInterrupt of Ctrl-C.
    """
    asked, settings, wanted = resolve_model(provider), run_settings(run, reask=reask), _wanted(schema, reask=reask)
    how = partial(_answering, asked, schema=wanted, reask=reask)
    if _is_table(data):
        if settings.mode != "now":
            batched = by_batch(
                data, asked, prompt=prompt, system=system, schema=wanted, settings=settings, answer=how(asked.site)
            )
            return plan(batched.prepared) if dry_run else chat_by_batch(batched)
        asking = rows_of(data, asked, prompt=prompt, system=system, schema=wanted, settings=settings)
        if dry_run:
            return plan_table(asking, answer=how(shown(asked).site))
        return chat_table(asking, answer=how(asked.site))
    _refuse_templates(prompt, system, settings=settings)
    talks = opened(data)
    if dry_run:
        previews = planned(talks, asked, how=ask, schema=wanted)
        return previews if isinstance(data, list) else previews[0]
    if not isinstance(data, list) and not run:
        return drive(how(asked.site)(talks[0]), transport_for(asked, lets_go=True))
    answered = chat_list(talks, asked, schema=wanted, settings=settings, answer=how(asked.site))
    return answered if isinstance(data, list) else answered[0]


@overload
async def achat(
    data: str | LLMMessage,
    provider: Model | str,
    *,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[False] = False,
    **run: Unpack[RunOptions],
) -> LLMMessage: ...
@overload
async def achat(
    data: Conversations,
    provider: Model | str,
    *,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[False] = False,
    **run: Unpack[RunOptions],
) -> list[LLMMessage]: ...
@overload
async def achat(
    data: str | LLMMessage,
    provider: Model | str,
    *,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[True],
    **run: Unpack[RunOptions],
) -> Preview: ...
@overload
async def achat(
    data: Conversations,
    provider: Model | str,
    *,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[True],
    **run: Unpack[RunOptions],
) -> list[Preview]: ...
@overload
async def achat(
    data: "TableT",
    provider: Model | str,
    *,
    prompt: Prompt,
    system: str | None = None,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[False] = False,
    **run: Unpack[RunOptions],
) -> "TableT": ...
@overload
async def achat(
    data: "TableT",
    provider: Model | str,
    *,
    prompt: Prompt,
    system: str | None = None,
    schema: object = None,
    reask: bool = False,
    dry_run: Literal[True],
    **run: Unpack[RunOptions],
) -> RunPlan: ...
async def achat(
    data: object,
    provider: Model | str,
    *,
    prompt: Prompt = None,
    system: str | None = None,
    schema: object = None,
    reask: bool = False,
    dry_run: bool = False,
    **run: Unpack[RunOptions],
) -> object:
    """Do what `chat` does."""
    asked, settings, wanted = resolve_model(provider), run_settings(run, reask=reask), _wanted(schema, reask=reask)
    how = partial(_answering, asked, schema=wanted, reask=reask)
    if _is_table(data):
        if settings.mode != "now":
            batched = by_batch(
                data, asked, prompt=prompt, system=system, schema=wanted, settings=settings, answer=how(asked.site)
            )
            return plan(batched.prepared) if dry_run else await achat_by_batch(batched)
        asking = await asyncio.to_thread(
            rows_of, data, asked, prompt=prompt, system=system, schema=wanted, settings=settings
        )
        if dry_run:
            return plan_table(asking, answer=how(shown(asked).site))
        return await achat_table(asking, answer=how(asked.site))
    _refuse_templates(prompt, system, settings=settings)
    talks = opened(data)
    if dry_run:
        previews = planned(talks, asked, how=ask, schema=wanted)
        return previews if isinstance(data, list) else previews[0]
    if not isinstance(data, list) and not run:
        return await adrive(how(asked.site)(talks[0]), transport_for(asked, lets_go=True))
    answered = await achat_list(talks, asked, schema=wanted, settings=settings, answer=how(asked.site))
    return answered if isinstance(data, list) else answered[0]


def opened(data: object) -> list[LLMMessage]:
    """Return the conversations that are meant. Raises SettingError for one that waits for no answer."""
    talks = [_opened_one(one) for one in (data if isinstance(data, list) else [data])]
    for number, talk in enumerate(talks, 1):
        if not talk.turns or not isinstance(talk.turns[-1], UserTurn):
            which = f"Conversation {number} of the list" if isinstance(data, list) else "The conversation"
            raise SettingError(f"{which} does not end with the user's turn: add one first, by .message(text).")
    return talks


def answering(
    talks: Sequence[LLMMessage], model: Model, *, how: Asker, schema: Schema | None = None, reask: bool = False
) -> list[Call[LLMMessage]]:
    """Return the calls that have the conversations answered, at once or in pieces."""
    asked = _asked(model, model.site, schema=schema)
    return [_answered(talk, asked, how=how, reask=reask) for talk in talks]


def planned(talks: Sequence[LLMMessage], model: Model, *, how: Asker, schema: Schema | None = None) -> list[Preview]:
    """Return what would be sent, and what of each conversation the model would not be told."""
    asked = _asked(model, shown(model).site, schema=schema)
    listener = Listener(model.provider.name, asked.model, asked.dialect.api)
    return [preview(how(asked, talk), left_behind=left_behind(talk, listener), media=talk.media) for talk in talks]


def _turn(text: str, media: Attached) -> UserTurn:
    return UserTurn(sendable(text, called=_SAID), attached(media))


def _opened_one(given: object) -> LLMMessage:
    if isinstance(given, LLMMessage):
        return given
    if isinstance(given, str):
        return llm_message(given)
    raise SettingError(f"chat takes a text, a conversation, a list of them, or a table, not {type(given).__name__}.")


def _wanted(schema: object, *, reask: bool) -> Schema | None:
    if schema is None and reask:
        raise SettingError("reask= is for answers that do not fit a schema: give schema= too.")
    return None if schema is None else schema_of(schema)


def _asked(model: Model, site: Site, *, schema: Schema | None) -> Asked:
    return Asked(dialect=chat_of(model), site=site, model=name_of(model), params=model.params, schema=schema)


def _answered(talk: C, asked: Asked, *, how: Asker, reask: bool) -> Call[C]:
    turn = AssistantTurn((yield from how(asked, talk)), asked.schema)
    talk = msgspec.structs.replace(talk, turns=(*talk.turns, turn))
    fault = _misfit(turn) if reask else None
    if fault is None:
        return talk
    told = msgspec.structs.replace(talk, turns=(*talk.turns, UserTurn(f"{fault} {_AGAIN}")))
    try:
        reply = yield from how(asked, told)
    except (ApiError, TransportError, BadAnswerError) as failure:
        raise PartlyFailedError(f"{fault} Asking again failed: {failure}", results=(talk, failure)) from failure
    return msgspec.structs.replace(told, turns=(*told.turns, AssistantTurn(reply, asked.schema)))


def _misfit(turn: AssistantTurn) -> InvalidAnswerError | None:
    """Return what is wrong with an answer that was meant to be data; one that was declined or cut off is none."""
    try:
        turn.data()
    except InvalidAnswerError as fault:
        return fault
    except BadAnswerError:
        return None
    return None


def _answering(model: Model, site: Site, *, schema: Schema | None, reask: bool) -> Answering:
    """Return what has any conversation answered by a model."""
    asked = _asked(model, site, schema=schema)
    return lambda talk: _answered(talk, asked, how=ask, reask=reask)


def _is_table(data: object) -> TypeGuard["IntoDataFrame"]:
    return not isinstance(data, str | LLMMessage | list)


def _refuse_templates(prompt: Prompt, system: str | None, *, settings: RunSettings) -> None:
    if settings.mode != "now":
        raise SettingError("mode= is for tables; send_batch takes a list of conversations.")
    media = settings.media
    given = (("prompt", prompt, "system=..."), ("system", system, "system=..."), ("media", media, "media=image(...)"))
    for name, value, instead in given:
        if value is not None:
            raise SettingError(f"{name}= is for tables; a conversation is begun by llm_message(text, {instead}).")
