"""One turn of a conversation: who says it, and what."""

from enum import Enum

import msgspec


class Role(str, Enum):
    """Who speaks, in OpenAI's words."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Message(msgspec.Struct, frozen=True):
    """What somebody says in a conversation."""

    role: Role
    text: str
