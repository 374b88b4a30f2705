"""A list of conversations through `chat`: each comes back with its answer, in its place."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from tidyllm.client.calls import transport_for
from tidyllm.client.many import Many, talks_of
from tidyllm.client.run import Answering
from tidyllm.client.run_options import RunSettings
from tidyllm.core.errors import PartlyFailedError, TidyllmError
from tidyllm.core.message import AssistantTurn, Conversation
from tidyllm.core.reply import Answer
from tidyllm.core.schema import Schema
from tidyllm.provider import Model

C = TypeVar("C", bound=Conversation)


def chat_list(
    talks: Sequence[C], model: Model, *, schema: Schema | None, settings: RunSettings, answer: Answering
) -> list[C]:
    """Return the conversations with their answers. Raises as `chat` does."""
    several = _Several(talks, model, schema=schema, settings=settings, answer=answer)
    try:
        several.many.go()
    except (KeyboardInterrupt, TidyllmError) as stop:
        stop.results = several.results()  # type: ignore[union-attr]
        raise
    return _unless_failed(several.results())


async def achat_list(
    talks: Sequence[C], model: Model, *, schema: Schema | None, settings: RunSettings, answer: Answering
) -> list[C]:
    """Do what `chat_list` does."""
    several = _Several(talks, model, schema=schema, settings=settings, answer=answer)
    try:
        await several.many.ago()
    except TidyllmError as stop:
        stop.results = several.results()  # type: ignore[attr-defined]
        raise
    return _unless_failed(several.results())


class _Several(Generic[C]):
    """The conversations of a list, and what has become of them."""

    def __init__(
        self, talks: Sequence[C], model: Model, *, schema: Schema | None, settings: RunSettings, answer: Answering
    ) -> None:
        self._talks = talks
        self._schema = schema
        self._answers: dict[int, Answer] = {}
        self.many = Many(
            talks_of(talks, model, schema=schema, settings=settings),
            answer=answer,
            transport=transport_for(model, lets_go=settings.name is None),
            sink=self._answers.__setitem__,
        )
        self.many.run.talks = {}

    def results(self) -> list[C | Exception | None]:
        """Return each with its answer, or what it met; null for what is not known."""
        return [self._result(number, talk) for number, talk in enumerate(self._talks)]

    def _result(self, number: int, talk: C) -> C | Exception | None:
        run = self.many.run
        if (talked := (run.talks or {}).get(number)) is not None:
            return msgspec.structs.replace(talk, turns=talked.turns)
        if number in run.failures:
            return run.failures[number]
        answer = self._answers.get(number)
        if answer is not None and answer.reply is not None:
            return msgspec.structs.replace(talk, turns=(*talk.turns, AssistantTurn(answer.reply, self._schema)))
        return None if run.stopped is None else TidyllmError(run.stopped)


def _unless_failed(results: Sequence[C | Exception | None]) -> list[C]:
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
    return [result for result in results if isinstance(result, Conversation)]
