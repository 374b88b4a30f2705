"""A schema in the dialect of an API: what that refuses is left out, and at least the same answers fit; or an error."""

import re

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.schema import Schema
from tidyllm.core.schema_check import NODES_MAX
from tidyllm.core.schema_nodes import REF, Node, allowed, cyclic_names, flat, names_in, target_name, type_name, types_of
from tidyllm.dialects.json_schema.limits import check_limits
from tidyllm.dialects.json_schema.takes import CONSTRAINTS, Takes

_INTRICATE = re.compile(r"\(\?(?!:)|\\[bBAzZG1-9kpP]")
"""Of patterns: looking around, referring back, classes of Unicode. No API makes a grammar of these."""
_OWN = frozenset({"items", "prefixItems", "enum", "const"})
"""Keywords that say what a value is, so that its other forms, if any, only narrow it down."""
_SHARED = ("type", "properties", "required", "patternProperties", "additionalProperties")
"""Keywords that hold beside each of a value's forms, which may name more fields."""
_INSTEAD = (("prefixItems", "items"), ("patternProperties", "additionalProperties"))
"""Keywords that some APIs refuse, each with the one that takes at least as much."""
_NULL: Node = {"type": "null"}


def said(schema: Schema, takes: Takes) -> Node:
    """Return the schema as an API takes it; an object at the top always.

    Raises SettingError for what the API cannot be told: it names the place, and what is nearest.
    """
    return _Saying(schema, takes).whole()


class _Saying:
    """One schema on its way into one dialect."""

    def __init__(self, schema: Schema, takes: Takes) -> None:
        self._top, self._defs, self._takes = schema.top, schema.defs, takes
        self._cyclic = cyclic_names(schema.defs)
        self._count = 0
        self._wanted: dict[str, None] = {}
        """Definitions that are referred to, in the order in which they were met."""

    def whole(self) -> Node:
        told = self._say(self._top, "the answer")
        defs: Node = {}
        while further := [name for name in self._wanted if name not in defs]:
            defs[further[0]] = self._say(self._defs[further[0]], further[0], within=frozenset(further[:1]))
        if defs:
            told["$defs"] = defs
        check_limits(told, self._takes)
        return told

    def _say(self, node: object, where: str, *, within: frozenset[str] = frozenset()) -> Node:
        """Return a node as it is told; `within` are the definitions that are being written out around it."""
        self._count += 1
        if self._count > NODES_MAX:
            raise SettingError(f"The schema has more than {NODES_MAX:,} parts once its references are written out.")
        if node is False:
            raise self._impossible(where, "may be nothing at all", hint="leave it out")
        if not isinstance(node, dict):
            return self._anything(where)
        name = target_name(node)
        if name is not None and node.keys() <= {"$ref", "default"}:
            return self._reference(name, where)
        written_out = self._in_place(node)
        # One that does not contain itself comes to an end, however often it is written out.
        endless = within & self._cyclic if self._takes.recursion else self._cyclic
        if blocking := [name for name in written_out if name in endless]:
            if self._takes.recursion and self._opens(node, blocking[0]):
                what = f"contains itself, by way of {blocking[0]!r}, with more fields than that names"
                raise self._impossible(where, what, hint=f"name them in {blocking[0]!r}")
            return self._reference(blocking[0], where)
        return self._flat(flat(node, self._defs), where, within=within.union(written_out))

    def _flat(self, node: Node, where: str, *, within: frozenset[str]) -> Node:
        types, forms = types_of(node), node.get("anyOf") or node.get("oneOf")
        if forms and not _OWN.intersection(node):
            shared = {keyword: node[keyword] for keyword in _SHARED if keyword in node}
            shared |= {"oneOf": node["oneOf"]} if "anyOf" in node and "oneOf" in node else {}
            whole = [{"allOf": [shared, form]} if shared else form for form in forms if form is not False]
            if not whole:
                raise self._impossible(where, "may be nothing at all", hint="leave it out")
            told = _any_of([self._say(form, where, within=within) for form in whole])
        elif not types:
            told = self._anything(where)
        else:
            told = self._values(node, types, where=where)
            if not told.keys() & {"enum", "const", "anyOf"}:
                told |= self._object(node, where, within=within) if "object" in types else {}
                told |= self._array(node, where, within=within) if "array" in types else {}
        words = self._words(node, told, types=types)
        # Nothing may stand beside a reference.
        return {**({"anyOf": [told]} if words and "$ref" in told else told), **words}

    def _in_place(self, node: Node) -> list[str]:
        """Return the definitions that would be written out in place of the node."""
        name, found = target_name(node), list[str]()
        if name is not None:
            found += [name, *self._in_place(self._defs[name])]
        for part in node.get("allOf", ()):
            found += self._in_place(part) if isinstance(part, dict) else []
        return found

    def _opens(self, node: Node, name: str) -> bool:
        """Whether a node may have fields that the definition, told by itself, would not have."""
        whole, alone = flat(node, self._defs), flat(self._defs[name], self._defs)
        if "properties" not in alone or alone.keys() & {"additionalProperties", "patternProperties"}:
            return False
        more = whole["properties"].keys() - alone["properties"].keys()
        return bool(more) or whole.get("additionalProperties", False) is not False or "patternProperties" in whole

    def _reference(self, name: str, where: str) -> Node:
        if name in self._cyclic and not self._takes.recursion:
            raise self._impossible(where, f"contains itself, by way of {name!r}", hint="say how deep it goes")
        self._wanted[name] = None
        return {"$ref": REF + name}

    def _values(self, node: Node, types: tuple[str, ...], *, where: str) -> Node:
        """Return the types of a value, and which it may be where these are listed."""
        told: Node = {"type": _one_or_all(types)}
        if "enum" not in node and "const" not in node:
            return told
        values, takes = allowed(node), self._takes
        if takes.enums_of is not None:
            odd = {type_name(value) for value in values} - takes.enums_of
            if odd & {"array", "object"}:
                raise self._impossible(where, "has an enum of lists or objects", hint="say with anyOf what there is")
            if odd - {"null"}:
                return told
            if "null" in odd:
                values = [value for value in values if value is not None]
                if values and "null" in types:
                    others = tuple(name for name in types if name != "null")
                    return {"anyOf": [{"type": _one_or_all(others), "enum": values}, _NULL]}
        if len(values) == 1 and "const" in node and "const" in takes.keywords:
            return {**told, "const": values[0]}
        return {**told, "enum": values} if values else told

    def _object(self, node: Node, where: str, *, within: frozenset[str]) -> Node:
        takes, named = self._takes, dict(node.get("properties", {}))
        required = list(node.get("required", ()))
        for name in required:
            named.setdefault(name, True)
        parts = {name: part for name, part in named.items() if part is not False}
        told = {name: self._say(part, f"{where}.{name}", within=within) for name, part in parts.items()}
        if takes.all_required:
            told = {name: part if name in required else _or_null(part) for name, part in told.items()}
            required = [*told]
        if not takes.recursion_required:
            required = [name for name in required if not names_in(told[name]) & self._cyclic]
        fields = {"properties": told, "required": required} if told or takes.closed else {}
        return {**fields, **self._others(node, where, within=within)}

    def _others(self, node: Node, where: str, *, within: frozenset[str]) -> Node:
        """Return what is told of the fields that an object does not name."""
        others, patterns = node.get("additionalProperties"), node.get("patternProperties")
        if others is None and patterns is None:
            # One that names its fields is meant to have no others.
            others = "properties" not in node
        if self._takes.closed and (patterns or others not in (None, False)):
            what = "may have fields that it does not name"
            raise self._impossible(where, what, hint="ask for a list of objects, each with a name and a value")
        if not patterns:
            told_others = others if isinstance(others, bool) else self._say(others, f"{where}.*", within=within)
            return {"additionalProperties": told_others}
        if "patternProperties" not in self._takes.keywords:
            return {"additionalProperties": True}
        told = {pattern: self._say(part, f"{where}.*", within=within) for pattern, part in patterns.items()}
        if isinstance(others, dict):
            others = self._say(others, f"{where}.*", within=within)
        return {"patternProperties": told, "additionalProperties": others is None or others}

    def _array(self, node: Node, where: str, *, within: frozenset[str]) -> Node:
        first, inner = node.get("prefixItems", []), f"{where}[]"
        none_left = bool(first) and node.get("maxItems", len(first) + 1) <= len(first)
        rest = False if none_left else node.get("items", True)
        told_first = [self._say(part, inner, within=within) for part in first]
        told_rest = [] if first and rest is False else [self._say(rest, inner, within=within)]
        if first and "prefixItems" in self._takes.keywords:
            return {"prefixItems": told_first, **({"items": told_rest[0]} if told_rest else {})}
        return {"items": _any_of([*told_first, *told_rest])}

    def _words(self, node: Node, told: Node, *, types: tuple[str, ...]) -> Node:
        """Return the constraints that can be said, what is told of the others, and title and default."""
        constraints = {keyword: node[keyword] for keyword in CONSTRAINTS if keyword in node}
        takes = {keyword: value for keyword, value in constraints.items() if types and self._is_taken(keyword, value)}
        unsaid = {keyword: value for keyword, value in constraints.items() if keyword not in takes}
        unsaid |= {word: node[word] for word, wider in _INSTEAD if word in node and word not in told and wider in told}
        if "format" in takes and "string" not in types:
            del takes["format"]
        texts = [node.get("description"), told.get("description")]
        texts += [f"It must fit {msgspec.json.encode(unsaid).decode()}."] if unsaid else []
        words = {"description": description} if (description := _sentences(texts)) else {}
        if "title" in node:
            words["title"] = node["title"]
        if "default" in node and "default" in self._takes.keywords:
            words["default"] = node["default"]
        return {**takes, **words}

    def _is_taken(self, keyword: str, value: object) -> bool:
        takes = self._takes
        if keyword not in takes.keywords:
            return False
        if keyword == "format":
            return takes.formats is None or value in takes.formats
        if keyword == "minItems":
            return takes.min_items_max is None or (isinstance(value, int) and value <= takes.min_items_max)
        return keyword != "pattern" or _INTRICATE.search(str(value)) is None

    def _anything(self, where: str) -> Node:
        if self._takes.closed:
            raise self._impossible(where, "may be anything", hint="say what it is")
        return {}

    def _impossible(self, where: str, what: str, *, hint: str) -> SettingError:
        return SettingError(f"{self._takes.api} cannot be asked for this schema: {where} {what}. Instead, {hint}.")


def _one_or_all(types: tuple[str, ...]) -> str | list[str]:
    return types[0] if len(types) == 1 else [*types]


def _sentences(texts: list[str | None]) -> str:
    """Return the texts as one, each once."""
    different = list(dict.fromkeys(text for text in texts if text))
    return " ".join([*(f"{text.rstrip('. ')}." for text in different[:-1]), *different[-1:]])


def _any_of(forms: list[Node]) -> Node:
    different = [form for at, form in enumerate(forms) if form not in forms[:at]]
    if {} in different:
        return {}
    return different[0] if len(different) == 1 else {"anyOf": different}


def _or_null(told: Node) -> Node:
    """Return what is told of a field that may also be null."""
    kinds = told.get("type")
    if "anyOf" in told:
        return told if _NULL in told["anyOf"] else {**told, "anyOf": [*told["anyOf"], _NULL]}
    if kinds is None or "enum" in told or "const" in told:
        return {"anyOf": [told, _NULL]}
    listed = [kinds] if isinstance(kinds, str) else kinds
    return told if "null" in listed else {**told, "type": [*listed, "null"]}
