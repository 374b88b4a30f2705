"""The exchanges that say of themselves how they are to be had, found by folder.

`tests/exchanges/<provider>/<verb>_<case>.json`, with a `note` that has

    "call": {"text": ..., "system": ..., "model": ..., "options": {...}}   what a user asks; "media" as to_json has them
    "reply": {...}   what the answer must be, field by field; `outcome` besides
    "error": {"kind": "RateLimitError", ...}   or the exception that it must be, with its facts
    "data": {...}   what is read by call.schema, if there is one
    "pieces": [...]   of a stream, what is passed on while it comes
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from tidyllm.client.schemas import schema_of
from tidyllm.core.media import Media
from tidyllm.core.message import Conversation, UserTurn
from tidyllm.core.reply import Reply
from tidyllm.core.schema import Schema
from tidyllm.core.wire import Call
from tidyllm.dialects.asking import Asked, ask, stream
from tidyllm.provider import Model, find_provider, provider_names
from tidyllm.testing import play
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy

EXCHANGES = Path(__file__).parents[1] / "exchanges"
PROVIDERS = provider_names()
# Addresses of those that have none of their own.
ADDRESSES = {"azure_openai": "https://res.openai.azure.com/openai/v1", "chat_completions": "http://127.0.0.1:9000/v1"}


class Asking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user asks."""

    text: str | None = None
    texts: list[str] | None = None
    system: str | None = None
    model: str | None = None
    options: dict[str, object] = {}
    schema: dict[str, object] | None = None
    media: tuple[Media, ...] = ()


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must come of it."""

    call: Asking
    reply: dict[str, object] | None = None
    error: dict[str, object] | None = None
    pieces: list[str] | None = None
    data: object = None
    vectors: list[list[float]] | None = None
    models: list[dict[str, object]] | None = None


class Case(msgspec.Struct, frozen=True):
    """One exchange."""

    provider: str
    verb: str
    name: str
    path: Path
    note: Note

    def __str__(self) -> str:
        return f"{self.provider}-{self.path.stem}"

    @property
    def model(self) -> Model:
        """Return who is asked."""
        return made(self.provider, self.note.call.model, **self.note.call.options)

    @property
    def transport(self) -> Transport:
        """Return what replays it, once."""
        return Transport(sender=play(self.path), keys=Keys("key"), retry=RetryPolicy(attempts_max=1))

    @property
    def conversation(self) -> Conversation:
        """Return what is to be answered."""
        assert self.note.call.text is not None
        return Conversation(system=self.note.call.system, turns=(UserTurn(self.note.call.text, self.note.call.media),))

    def asking(self) -> Call[Reply]:
        """Return the call that has it answered."""
        return (stream if self.verb == "stream" else ask)(asked(self.model, self.schema), self.conversation)

    @property
    def schema(self) -> Schema | None:
        """Return what the answer is to look like."""
        return None if self.note.call.schema is None else schema_of(self.note.call.schema)


def asked(model: Model, schema: Schema | None = None) -> Asked:
    assert model.chat is not None
    assert model.chat_name is not None
    return Asked(dialect=model.chat, site=model.site, model=model.chat_name, params=model.params, schema=schema)


def made(provider: str, model: str | None = None, **options: object) -> Model:
    """Return a model of a provider, at an address where it has none of its own."""
    make: Callable[..., Model] = find_provider(provider)
    address = {"base_url": ADDRESSES[provider]} if provider in ADDRESSES else {}
    return make(model, **{**address, **options})


def cases(*verbs: str) -> list[Case]:
    """Return the exchanges of these verbs, of every provider."""
    found = (_case(path) for path in sorted(EXCHANGES.glob("*/*.json")))
    return [case for case in found if case is not None and case.verb in verbs]


def told(reply: Reply, fields: Mapping[str, object]) -> dict[str, object]:
    """Return those fields of a reply, as JSON has them; what is at its default is null or empty."""
    plain = json.loads(msgspec.json.encode(reply))
    empty: dict[str, object] = {"citations": [], "logprobs": []}
    return {name: reply.outcome.value if name == "outcome" else plain.get(name, empty.get(name)) for name in fields}


def facts(error: Exception, names: Mapping[str, object]) -> dict[str, object]:
    """Return the facts of an exception that are named."""
    return {name: type(error).__name__ if name == "kind" else getattr(error, name) for name in names}


def _case(path: Path) -> Case | None:
    written = json.loads(path.read_bytes())
    if "note" not in written:
        return None
    verb, _, name = path.stem.partition("_")
    return Case(path.parent.name, verb, name, path, msgspec.convert(written["note"], Note))
