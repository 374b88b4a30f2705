"""How large a schema may be for an API, counted as it is told."""

from collections.abc import Iterator, Mapping

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.schema_nodes import Node, cyclic_names, parts, target_name
from tidyllm.dialects.json_schema.takes import Takes


def check_limits(told: Node, takes: Takes) -> None:
    """Raise SettingError for a schema that passes one of the API's limits."""
    defs: Mapping[str, Node] = told.get("$defs", {})
    nodes = [node for root in (told, *defs.values()) for node in _nodes(root)]
    enums = [node["enum"] for node in nodes if "enum" in node]
    names = [name for node in nodes for name in node.get("properties", {})]
    letters = sum(map(len, (*names, *defs))) + sum(map(_letters, enums))
    letters += sum(_letters([node["const"]]) for node in nodes if "const" in node)
    optional = sum(len(node.get("properties", {})) - len(node.get("required", ())) for node in nodes)
    unions = sum("anyOf" in node or isinstance(node.get("type"), list) for node in nodes)
    for count, most, what in (
        (len(names), takes.properties_max, "fields"),
        (_Depths(defs).of(told), takes.depth_max, "levels of objects in objects"),
        (sum(map(len, enums)), takes.enum_values_max, "values in enums"),
        (letters, takes.letters_max, "characters of names and enums"),
        (optional, takes.optional_max, "fields that may be left out"),
        (unions, takes.unions_max, "places where several types may stand"),
    ):
        if most is not None and count > most:
            raise SettingError(f"{takes.api} takes schemas with up to {most:,} {what}; this one has {count:,}.")
    if takes.long_enum is None:
        return
    many, characters_max = takes.long_enum
    for size in (_letters(values) for values in enums if len(values) > many):
        if size > characters_max:
            raise SettingError(
                f"{takes.api} takes an enum of more than {many:,} values with up to {characters_max:,} characters; one "
                f"has {size:,}."
            )


class _Depths:
    """How many objects stand in each other, references followed but for those that lead in a circle."""

    def __init__(self, defs: Mapping[str, Node]) -> None:
        self._defs, self._cyclic = defs, cyclic_names(defs)
        self._known: dict[str, int] = {}

    def of(self, node: Node) -> int:
        name = target_name(node)
        if name in self._cyclic:
            return 0
        if name is not None:
            if name not in self._known:
                self._known[name] = self.of(self._defs[name])
            return self._known[name]
        inner = max((self.of(part) for _, part in parts(node) if isinstance(part, dict)), default=0)
        return inner + ("properties" in node)


def _nodes(node: object) -> Iterator[Node]:
    if isinstance(node, dict):
        yield node
        for _, part in parts(node):
            yield from _nodes(part)


def _letters(values: list[object]) -> int:
    return sum(len(value) if isinstance(value, str) else len(msgspec.json.encode(value)) for value in values)
