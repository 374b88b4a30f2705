"""A conversation for a person to read: as plain text, and as HTML for notebooks."""

from collections.abc import Iterator
from html import escape

from tidyllm.core.message import AssistantTurn, Conversation
from tidyllm.core.reply import Outcome, Reply


def as_text(conversation: Conversation) -> str:
    """Return one block a turn: who speaks, and below it what."""
    return "\n\n".join(f"[{speaker}]\n{text}" for speaker, text in _blocks(conversation))


def as_html(conversation: Conversation) -> str:
    """Return one block a turn; whatever was said is text there, never markup."""
    blocks = (
        f'<p><strong>{escape(speaker)}</strong></p><p style="white-space: pre-wrap">{escape(text)}</p>'
        for speaker, text in _blocks(conversation)
    )
    return f"<div>{''.join(blocks)}</div>"


def _blocks(conversation: Conversation) -> Iterator[tuple[str, str]]:
    if conversation.system is not None:
        yield "system", conversation.system
    for turn in conversation.turns:
        if isinstance(turn, AssistantTurn):
            yield _answerer(turn.reply), "\n".join((turn.text, *_sources(turn.reply)))
        else:
            yield "user", "\n".join((turn.text, *(f"[{medium.kind.value}: {medium}]" for medium in turn.media)))


def _sources(reply: Reply) -> Iterator[str]:
    """Yield a line for each source that an answer names."""
    named = dict.fromkeys((source.title, source.url) for source in reply.citations)
    for number, (title, url) in enumerate(named, 1):
        yield f"[{number}] {', '.join(word for word in (title, url) if word)}"


def _answerer(reply: Reply) -> str:
    """Return who answered, and how where it is no plain answer."""
    model = "" if reply.model is None else f", {reply.model}"
    outcome = "" if reply.outcome is Outcome.OK else f", {reply.outcome.value}"
    return f"assistant{model}{outcome}"
