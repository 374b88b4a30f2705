"""A conversation: what the user said and what models answered, turn by turn."""

from typing import TypeAlias

import msgspec

from tidyllm.core.reply import Reply


class UserTurn(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    """What the user said."""

    text: str


class AssistantTurn(msgspec.Struct, frozen=True, tag_field="role", tag="assistant"):
    """What a model answered."""

    reply: Reply

    @property
    def text(self) -> str:
        """What the model said, as the next one is told: its text, or else why it declined."""
        return self.reply.text or self.reply.refusal or ""


Turn: TypeAlias = UserTurn | AssistantTurn


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """What was said so far; `msgspec.json` writes it and reads it back."""

    system: str | None = None
    """How the model is to behave, said before the first turn."""
    turns: tuple[Turn, ...] = ()
    """Oldest first."""
