"""How an API is asked for an answer that fits a schema: in which words, how strictly, and by which of its models."""

from fnmatch import fnmatchcase

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.message import Conversation
from tidyllm.core.params import Params
from tidyllm.core.schema import Schema
from tidyllm.dialects.json_schema.say import said
from tidyllm.dialects.json_schema.takes import Takes


class SchemaForm(msgspec.Struct, frozen=True, kw_only=True):
    """How models are asked for an answer that fits a schema."""

    takes: Takes
    models: tuple[str, ...] = ("*",)
    """Patterns of their names, as of files."""
    strict: bool | None = None
    """What is said of whether the schema is enforced; null where that is not asked."""
    enforced: bool = True
    """Whether the API has only answers that fit; elsewhere models do their best."""
    json_mode: bool = False
    """Whether it can only be asked for JSON, of whatever form."""
    told: bool = False
    """Whether the schema stands in the system prompt besides."""
    streams: bool = True
    refusal: str | None = None
    """Why it cannot be asked for, and what is nearest; a sentence or two."""

    def definition(self, schema: Schema) -> dict[str, object]:
        """Return the JSON Schema in the API's dialect; it is not to be changed."""
        if self.takes not in schema.told:
            schema.told[self.takes] = said(schema, self.takes)
        return schema.told[self.takes]

    def flat(self, schema: Schema) -> dict[str, object]:
        """Return the format of an answer as the Responses API has it."""
        return {"type": "json_schema", **self._named(schema)}

    def nested(self, schema: Schema) -> dict[str, object]:
        """Return the format of an answer as Chat Completions has it."""
        if self.json_mode:
            return {"type": "json_object"}
        return {"type": "json_schema", "json_schema": self._named(schema)}

    def asking(self, conversation: Conversation, schema: Schema) -> Conversation:
        """Return the conversation with the schema told in its system prompt, where that is the way."""
        if not self.told:
            return conversation
        written = msgspec.json.encode(self.definition(schema)).decode()
        rule = f"Answer with JSON alone, which fits this JSON Schema:\n{written}"
        system = rule if conversation.system is None else f"{conversation.system}\n\n{rule}"
        return msgspec.structs.replace(conversation, system=system)

    def _named(self, schema: Schema) -> dict[str, object]:
        strict = {} if self.strict is None else {"strict": self.strict}
        return {"name": schema.name, "schema": self.definition(schema), **strict}


def form_for(forms: tuple[SchemaForm, ...], *, model: str, params: Params, streamed: bool) -> SchemaForm:
    """Return how a model is asked: by the last form that holds for it. Raises SettingError where it cannot be."""
    name = params.model_family or model
    found = [form for form in forms if any(fnmatchcase(name, pattern) for pattern in form.models)]
    if not found:
        raise SettingError(f"{model} takes no schema=. Ask in the prompt for JSON, and read the text of the answer.")
    if found[-1].refusal is not None:
        raise SettingError(f"{model} takes no schema=. {found[-1].refusal}")
    if streamed and not found[-1].streams:
        raise SettingError(f"{model} does not stream an answer to schema=. The verb chat has it whole.")
    return found[-1]
