"""What each API takes of JSON Schema, as its documentation has it."""

import msgspec

CONSTRAINTS = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "format"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    *("propertyNames", "not"),
)
"""Keywords that narrow a value down; one that an API refuses is told in the description, and held to on reading."""
_NEVER_SAID = frozenset({"propertyNames", "not"})
EVERYTHING = frozenset(CONSTRAINTS) - _NEVER_SAID | {"const", "default", "prefixItems", "patternProperties"}


class Takes(msgspec.Struct, frozen=True, kw_only=True):
    """What an API takes of JSON Schema: types, fields, lists, enum, anyOf and references all of them take."""

    api: str
    """For messages."""
    keywords: frozenset[str] = EVERYTHING
    """What else may be said."""
    formats: frozenset[str] | None = None
    """Which values `format` may have; null for any."""
    min_items_max: int | None = None
    """The largest value that `minItems` may have; null for any."""
    closed: bool = False
    """Whether each object must name all its fields, and everything have a type."""
    all_required: bool = False
    """Whether every field must be answered, if only with null."""
    enums_of: frozenset[str] | None = None
    """The types that the values of an enum may have; null for any."""
    recursion: bool = True
    """Whether a schema may contain itself."""
    recursion_required: bool = True
    """Whether the field by which it does may be required."""
    properties_max: int | None = None
    """Fields of all objects together."""
    depth_max: int | None = None
    """Objects in objects."""
    enum_values_max: int | None = None
    """Values of all enums together."""
    letters_max: int | None = None
    """Characters of all names and enum values together."""
    long_enum: tuple[int, int] | None = None
    """An enum with more values than the first figure may have so many characters as the second."""
    optional_max: int | None = None
    """Fields that need not be answered."""
    unions_max: int | None = None
    """Places where several types may stand."""


_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})
_OPENAI_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})

ANY = Takes(api="this API")
"""Where no limits are known, or none matter."""
# spec/openai-chat 6.
OPENAI = Takes(
    api="OpenAI",
    keywords=_NUMBERS | {"const", "multipleOf", "pattern", "format", "minItems", "maxItems"},
    formats=_OPENAI_FORMATS,
    closed=True,
    all_required=True,
    enums_of=_SCALARS,
    properties_max=5_000,
    depth_max=10,
    enum_values_max=1_000,
    letters_max=120_000,
    long_enum=(250, 15_000),
)
# spec/azure 3.
AZURE = msgspec.structs.replace(OPENAI, api="Azure", keywords=frozenset({"const"}), properties_max=100, depth_max=5)
ROUTED = msgspec.structs.replace(OPENAI, api="this API", keywords=frozenset())
"""Where the answer may come from one of many makers: what the strictest of them takes."""
# spec/groq 2b; of other keywords nothing is said there.
GROQ = Takes(api="Groq", keywords=frozenset(), closed=True, all_required=True, enums_of=_SCALARS)
# spec/anthropic 2c.
ANTHROPIC = Takes(
    api="Claude",
    keywords=frozenset({"const", "default", "pattern", "format", "minItems"}),
    formats=_OPENAI_FORMATS | {"uri"},
    min_items_max=1,
    closed=True,
    enums_of=_SCALARS,
    recursion=False,
    optional_max=24,
    unions_max=16,
)
# spec/gemini 2c; of formats its documentation names these.
GEMINI = Takes(
    api="Gemini",
    keywords=frozenset({"format", "minItems", "maxItems", "minimum", "maximum", "prefixItems"}),
    formats=frozenset({"date-time", "date", "time"}),
    enums_of=frozenset({"string", "integer", "number"}),
    recursion_required=False,
)
# spec/vllm 3.
VLLM = Takes(api="vLLM", keywords=EVERYTHING - {"multipleOf", "uniqueItems", "patternProperties"})
# What llama.cpp makes grammars of, and Ollama with it: spec/llamacpp 2, spec/ollama 3. A pattern that it does not know
# is an error there, and not all are known that it does.
GRAMMAR = Takes(
    api="a grammar of llama.cpp",
    keywords=_NUMBERS | {"const", "minLength", "maxLength", "format", "minItems", "maxItems", "prefixItems"},
    formats=frozenset({"date-time", "date", "time", "uuid"}),
)
