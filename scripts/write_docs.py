"""Writes the generated parts of the documents from the code; with --check it only says whether they are up to date."""

import ast
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from tempfile import TemporaryDirectory

import typer.main
from fastapi.routing import APIRoute
from msgspec import NODEFAULT
from msgspec.structs import fields
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from scripts.source import PACKAGE, ROOT, Module, first_sentence, package_modules
from tidyllm import providers
from tidyllm.cli.main import app
from tidyllm.core.clock import SystemClock
from tidyllm.core.disk import LocalDisk
from tidyllm.core.media import IMAGES, PDF, PLAIN
from tidyllm.core.wire import MIB
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.media import MediaTaken
from tidyllm.provider import Provider, find_provider
from tidyllm.server.api.app import create_app
from tidyllm.server.blobs.disk import DiskBlobs
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.settings import Settings
from tidyllm.server.store import Store
from tidyllm.server.thread import StoreThread

Writer = Callable[[], Iterator[str]]
TOP_TO_BOTTOM = (
    *("cli", "testing", "client", "server", "provider", "providers", "dialect", "dialects"),
    *("transport", "journal", "journals", "core"),
)
"""The order of the code map, which is that of the boxes; what is not named here stands above them."""


def code_map() -> Iterator[str]:
    """Yield a list of the package's modules, the highest box first, each with its first sentence."""
    for module in sorted(package_modules().values(), key=_position):
        place = module.path.relative_to(PACKAGE)
        sentence = first_sentence(ast.get_docstring(module.tree) or "")
        if module.is_package and module.path.parent != PACKAGE:
            yield f"{'  ' * (len(place.parts) - 2)}- **`{place.parent.name}/`** {sentence}"
        elif not module.is_package:
            yield f"{'  ' * (len(place.parts) - 1)}- `{place.name}` {sentence}"


def routes_table() -> Iterator[str]:
    """Yield a table of the server's routes, each with what its function's docstring says."""
    yield "| route | what it does |"
    yield "|---|---|"
    for route in api_routes():
        sentence = first_sentence(route.endpoint.__doc__ or "").partition(";")[0].rstrip(".")
        for method in sorted(route.methods or ()):
            yield f"| `{method} {route.path}` | {sentence}. |"


def commands_part() -> Iterator[str]:
    """Yield a chapter for each command of the command line: its help, its arguments and its options."""
    for name, command in commands().items():
        given = [one for one in command.params if isinstance(one, TyperArgument)]
        yield f"## {' '.join(['tidyllm', name, *(str(one.metavar) for one in given)])}"
        yield ""
        yield cleandoc(command.help or "")
        yield ""
        yield "| option | default | meaning |"
        yield "|---|---|---|"
        for one in given:
            yield f"| `{one.metavar}` |  | {one.help} |"
        for option in options(command):
            default = "" if option.default is None else f"`{option.default}`"
            yield f"| `{', '.join(option.opts)}` | {default} | {option.help} |"
        yield ""


def commands() -> dict[str, TyperCommand]:
    """Return the commands of the command line by name, those of a group with the group's name before theirs."""
    group = typer.main.get_command(app)
    if not isinstance(group, TyperGroup):
        raise TypeError(f"The command line has no commands: {group!r}.")
    return dict(_commands_of(group, ""))


def _commands_of(group: TyperGroup, before: str) -> Iterator[tuple[str, TyperCommand]]:
    for name, one in group.commands.items():
        if isinstance(one, TyperGroup):
            yield from _commands_of(one, f"{before}{name} ")
        elif isinstance(one, TyperCommand):
            yield f"{before}{name}", one


def options(command: TyperCommand) -> list[TyperOption]:
    """Return the options of a command."""
    return [one for one in command.params if isinstance(one, TyperOption)]


def providers_table() -> Iterator[str]:
    """Yield a table of the providers: what each can do, its usual models, where its key and its address come from."""
    names = ("provider", "chat", "schema", "images and files", "embeddings", "models", "batches", "default model")
    yield f"| {' | '.join(names)} | key in | base URL |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for module in pkgutil.iter_modules(providers.__path__):
        one = find_provider(module.name)
        name = f"[`{one.name}`]({one.docs})" if one.docs.startswith("http") else f"`{one.name}`"
        chats = ", ".join(f"`{dialect.api}`" for dialect in (one.chat, *one.chat_also) if dialect is not None)
        has = ["yes" if there else "" for there in (one.models, one.batch)]
        embeds = "; ".join(_embedding_words(one))
        model = f"`{one.chat_model}` ({one.checked})" if one.chat_model else "name one" if one.chat else ""
        schemas, places = _schema_words(one), (_key_words(one), _address_words(one))
        yield f"| {' | '.join((name, chats, schemas, _media_words(one), embeds, *has, model, *places))} |"


def options_table() -> Iterator[str]:
    """Yield a table of what a model may be made with."""
    yield "| option | meaning |"
    yield "|---|---|"
    for name, meaning in field_docstrings(PACKAGE / "provider.py", "Options").items():
        yield f"| `{name}` | {meaning} |"


def _embedding_words(one: Provider) -> Iterator[str]:
    if one.embed is not None:
        yield f"`{one.embed_model}`" if one.embed_model else "name a model"
        if one.embed.media.as_bytes:
            models = ", ".join(f"`{name}`" for name in one.embed.media.models if name != "*")
            yield f"images: {models}" if models else "images, by some models"


def _media_words(one: Provider) -> str:
    told = {dialect.api: _taken_words(dialect.media) for dialect in (one.chat, *one.chat_also) if dialect is not None}
    if len(set(told.values())) < len(told) or len(told) == 1:
        return next(iter(told.values()))
    return "; ".join(f"`{api}`: {words}" for api, words in told.items())


def _taken_words(taken: MediaTaken) -> str:
    """Return what is taken in words: which kinds of images where not all are, and what must be given as bytes."""
    words = []
    for name, types in (("images", IMAGES), ("PDF", (PDF,)), ("texts", ("text/*",)), ("plain texts", (PLAIN,))):
        as_bytes = [mime_type for mime_type in types if mime_type in taken.as_bytes]
        kinds = [mime_type.partition("/")[2] for mime_type in as_bytes] if len(as_bytes) < len(types) else []
        limits = [", ".join(kinds), "" if set(as_bytes) <= set(taken.by_url) else "only as bytes"]
        said = "; ".join(filter(None, limits))
        if as_bytes:
            words.append(f"{name} ({said})" if said else name)
    return ", ".join(words)


def _schema_words(one: Provider) -> str:
    forms = one.chat.schema_forms if one.chat is not None else ()
    return "; ".join(map(_form_words, forms))


def _form_words(form: SchemaForm) -> str:
    how = "enforced" if form.enforced else "JSON mode" if form.json_mode else "best effort"
    how = "none" if form.refusal is not None else how if form.streams else f"{how}, not streamed"
    return how if form.models == ("*",) else f"{', '.join(f'`{name}`' for name in form.models)}: {how}"


def _key_words(one: Provider) -> str:
    names = " or ".join(f"`{name}`" for name in (one.auth.env, *one.auth.env_also))
    return names + ("" if one.auth.required else ", if it wants one")


def _address_words(one: Provider) -> str:
    env = f"`{one.base_url_env}`" if one.base_url_env else ""
    if one.base_url is None:
        return f"yours: `base_url=` or {env}"
    return f"`{one.base_url}`" + (f" or {env}" if env else "")


def api_routes() -> list[APIRoute]:
    """Return the routes of the server's application, which is made but not run."""

    def never() -> Store:
        raise AssertionError("Nobody asks the store of an application that is only looked at.")

    with TemporaryDirectory() as folder:
        disk = LocalDisk()
        blobs = DiskBlobs(Path(folder), disk=disk)
        api = create_app(Settings(), store=StoreThread(never), blobs=blobs, disk=disk, clock=SystemClock())
    return [route for route in api.routes if isinstance(route, APIRoute)]


def settings_table() -> Iterator[str]:
    """Yield a table of the server's settings: name, default, and what the docstring says."""
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    for name, meaning in field_docstrings(PACKAGE / "server" / "settings.py", "Settings").items():
        if name != "upstreams":  # They have tables of their own, in the file and in the document.
            yield f"| `{name}` | {_default_words(getattr(Settings(), name))} | {meaning} |"


def upstreams_table() -> Iterator[str]:
    """Yield a table of what an `[[upstream]]` table may hold: field, default, and what the docstring says."""
    defaults = {field.name: field.default for field in fields(UpstreamSettings)}
    yield "| field | default | meaning |"
    yield "|---|---|---|"
    for name, meaning in field_docstrings(PACKAGE / "server" / "declared.py", "UpstreamSettings").items():
        yield f"| `{name}` | {_field_default_words(defaults[name])} | {meaning} |"


def field_docstrings(path: Path, class_name: str) -> dict[str, str]:
    """Return the sentence below each field of a class; raises ValueError for a field without one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name)
    found = {}
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            match following:
                case ast.Expr(value=ast.Constant(value=str(words))):
                    found[node.target.id] = " ".join(words.split())
                case _:
                    raise ValueError(f"{class_name}.{node.target.id} in {path} has no docstring.")
    return found


PARTS: Mapping[str, Mapping[str, Writer]] = {
    "ARCHITECTURE.md": {"code map": code_map},
    "docs/commands.md": {"commands": commands_part},
    "docs/providers.md": {"providers": providers_table, "options": options_table},
    "docs/server.md": {"routes": routes_table, "settings": settings_table, "upstreams": upstreams_table},
}
"""Which document holds which generated parts."""


def renewed(text: str, parts: Mapping[str, Writer]) -> str:
    """Return a document with its generated parts written anew; raises ValueError when the place of one is missing."""
    for name, write in parts.items():
        start, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        before, opened, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not opened or not closed:
            raise ValueError(f"The document needs a place for {name!r}: {start.strip()} ... {end}.")
        text = "\n".join((before + opened, *write(), "", closed + after))
    return text


def outdated(root: Path = ROOT) -> Iterator[str]:
    """Yield the names of documents whose generated parts no longer agree with the code."""
    for name, parts in PARTS.items():
        text = (root / name).read_text(encoding="utf-8")
        if renewed(text, parts) != text:
            yield name


def main() -> int:
    """Write the documents, or with --check report those that are out of date; return the exit code."""
    late = list(outdated())
    if "--check" in sys.argv[1:]:
        for name in late:
            print(f"{name} is out of date: run `make docs`.")
        return 1 if late else 0
    for name in late:
        path = ROOT / name
        path.write_text(renewed(path.read_text(encoding="utf-8"), PARTS[name]), encoding="utf-8")
        print(f"wrote {name}")
    return 0


def _position(module: Module) -> tuple[int, tuple[str, ...]]:
    parts = module.path.relative_to(PACKAGE).parts
    top = parts[0].removesuffix(".py")
    height = TOP_TO_BOTTOM.index(top) if top in TOP_TO_BOTTOM else -1
    # A folder's own line stands before those of its modules.
    return height, (*parts[:-1], "" if module.is_package else parts[-1])


def _default_words(value: object) -> str:
    if isinstance(value, int) and value >= MIB and value % MIB == 0:
        return f"{value // MIB} MiB"
    return f"`{value}`"


def _field_default_words(value: object) -> str:
    if value is NODEFAULT:
        return "must be given"
    return "none" if value is None else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    sys.exit(main())
