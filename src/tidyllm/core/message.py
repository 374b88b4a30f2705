"""A conversation: what the user said and what models answered, turn by turn."""

from typing import TypeAlias

import msgspec

from tidyllm.core.errors import InvalidAnswerError, RefusedAnswerError, SettingError, TruncatedAnswerError
from tidyllm.core.media import Media
from tidyllm.core.reply import Outcome, Reply
from tidyllm.core.schema import Schema


class UserTurn(msgspec.Struct, frozen=True, tag_field="role", tag="user", omit_defaults=True):
    """What the user said."""

    text: str
    media: tuple[Media, ...] = ()
    """Images and files that go with it."""


class AssistantTurn(msgspec.Struct, frozen=True, tag_field="role", tag="assistant", omit_defaults=True):
    """What a model answered."""

    reply: Reply
    schema: Schema | None = None
    """What the answer was to look like, if that was said."""

    @property
    def text(self) -> str:
        """What the model said, as the next one is told: its text, or else why it declined."""
        return self.reply.text or self.reply.refusal or ""

    def data(self) -> object:
        """Return the answer as the schema has it, as an instance of its class where it was made of one.

        Raises SettingError where there is no schema; RefusedAnswerError, TruncatedAnswerError or InvalidAnswerError
        where the answer is no such data.
        """
        reply, body = self.reply, (self.reply.text or "").encode(errors="replace")
        if self.schema is None:
            raise SettingError("The last answer was asked for without a schema: give one, .chat(provider, schema=...).")
        if reply.outcome is Outcome.REFUSED:
            why = reply.refusal or f"its finish is {reply.finish!r}"
            raise RefusedAnswerError(f"The answer holds no data; the model declined: {why}", body=body)
        if reply.outcome is Outcome.TRUNCATED:
            raise TruncatedAnswerError(
                f"The answer was cut off; its finish is {reply.finish!r}. Ask again with a larger max_tokens=.",
                body=body,
            )
        if reply.text is None:
            raise InvalidAnswerError(f"The answer holds no text; its finish is {reply.finish!r}.", body=body)
        return self.schema.read_as(reply.text)


Turn: TypeAlias = UserTurn | AssistantTurn


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """What was said so far; `msgspec.json` writes it and reads it back."""

    system: str | None = None
    """How the model is to behave, said before the first turn."""
    turns: tuple[Turn, ...] = ()
    """Oldest first."""

    @property
    def media(self) -> tuple[Media, ...]:
        """Return all images and files that go with it."""
        found: tuple[Media, ...] = ()
        for turn in self.turns:
            if isinstance(turn, UserTurn) and turn.media:
                found += turn.media
        return found
