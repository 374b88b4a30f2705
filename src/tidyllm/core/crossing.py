"""What of a conversation may be told to which model: a provider's opaque data go back to their own model alone."""

from collections.abc import Iterator

import msgspec

from tidyllm.core.message import AssistantTurn, Conversation, Turn
from tidyllm.core.reply import Reply


class Listener(msgspec.Struct, frozen=True):
    """The model that a conversation is told to."""

    provider: str
    model: str
    api: str
    """The `api` of the dialect that it is told in."""

    def reads(self, reply: Reply) -> bool:
        """Return whether what is opaque of an answer is its own, and can be told in its dialect."""
        own = reply.provider == self.provider and reply.asked == self.model
        return own and reply.opaque is not None and reply.opaque.api == self.api


def told(conversation: Conversation, listener: Listener) -> Conversation:
    """Return the conversation as that model may see it: without what is opaque to it."""
    for turn in conversation.turns:
        if isinstance(turn, AssistantTurn) and turn.reply.opaque is not None:
            turns = tuple(_told(turn, listener) for turn in conversation.turns)
            return msgspec.structs.replace(conversation, turns=turns)
    return conversation


def left_behind(conversation: Conversation, listener: Listener) -> tuple[str, ...]:
    """Return what that model will not be told of the conversation, a sentence each."""
    return tuple(_losses(conversation, listener))


def _told(turn: Turn, listener: Listener) -> Turn:
    if not isinstance(turn, AssistantTurn) or turn.reply.opaque is None or listener.reads(turn.reply):
        return turn
    return msgspec.structs.replace(turn, reply=msgspec.structs.replace(turn.reply, opaque=None))


def _losses(conversation: Conversation, listener: Listener) -> Iterator[str]:
    for number, turn in enumerate(conversation.turns, 1):
        if isinstance(turn, AssistantTurn):
            lost = list(_not_told(turn.reply, listener))
            if lost:
                yield f"Turn {number}: {', '.join(lost)} of {_author(turn.reply)} stay behind; the text goes along."


def _not_told(reply: Reply, listener: Listener) -> Iterator[str]:
    if reply.opaque is not None:
        if listener.reads(reply):
            return
        yield "the opaque thoughts"
    if reply.thoughts is not None:
        yield "the thoughts"
    if reply.citations:
        yield "the citations"


def _author(reply: Reply) -> str:
    return " ".join(name for name in (reply.provider, reply.asked or reply.model) if name) or "an unknown model"
