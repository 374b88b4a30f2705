"""Every setting of the server, with its limit's name, its default, and where it may be set."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.wire import MIB
from tidyllm.server.declared import UpstreamSettings, read_upstreams, refuse_small_parts

SETTINGS_FILE = Path("tidyllm.toml")
"""What is read where no file is named, if it is there."""
_PREFIX = "TIDYLLM_"

Count = Annotated[int, msgspec.Meta(ge=1)]
Bytes = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The server's settings: from the command line, then `TIDYLLM_...` variables, then `[server]` in `tidyllm.toml`."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback only, as there are no keys yet."""
    port: Port = 8642
    """Port to listen on; 0 takes a free one."""
    data: Path = Path("tidyllm-data")
    """Folder of everything the server keeps; created with mode 0700."""
    upstream: str = "http://127.0.0.1:8000/v1"
    """Base URL of the OpenAI-compatible endpoint that answers the requests, with its `/v1`."""
    upstream_key_env: str = "TIDYLLM_UPSTREAM_KEY"
    """Name of the environment variable that holds the upstream's key, if it wants one."""
    workers: Count = 1
    """Worker processes; on Linux each runs on one processor."""
    concurrency: Count = 1024
    """Most requests in flight, in each worker; how many there are is found."""
    in_flight_bytes_max: Count = 128 * MIB
    """Of requests in flight and of their answers, as far as these can be guessed; beyond it nothing more is sent."""
    claim_shards_max: Count = 4
    """Shards a worker leases in one statement, at most; more where its upstreams are so fast that they need them."""
    attempts_max: Count = 3
    """Times a request is sent when the failure is its own (408, 5xx but 503 and 529, a broken body, a time-out)."""
    request_timeout_s: Seconds = 600.0
    """For one request to the upstream, from connecting to the last byte."""
    response_bytes_max: Count = 64 * MIB
    """Of one upstream answer, after decompression."""
    cancel_grace_s: Seconds = 30.0
    """How long a cancelled batch, or a stop, waits for what is in flight, which then no longer counts as such."""
    commit_interval_s: Seconds = 0.02
    """Answers that arrive within it are made durable together; a power cut loses those, and what is being synced."""
    retry_delay_first_s: Seconds = 0.5
    """Wait before a request is sent again; doubles each time."""
    retry_delay_max_s: Seconds = 30.0
    """Longest such wait of one request, a `Retry-After` too; where most are refused, all wait for up to two minutes."""
    count_interval_s: Seconds = 1.0
    """At most this often a worker writes its shards' counts to the database."""
    upload_bytes_max: Count = 512 * MIB
    """Of one uploaded file."""
    batch_bytes_max: Count = 200 * MIB
    """Of one batch's input file."""
    batch_requests_max: Count = 50_000
    """Lines in one batch's input file."""
    line_bytes_max: Count = 16 * MIB
    """Of one line of an input file."""
    problems_max: Count = 100
    """Problems listed for one refused input file."""
    json_body_bytes_max: Count = 1 * MIB
    """Of a JSON request to the API."""
    file_retention_s: Count = 30 * 86_400
    """How long batch input and result files are kept, as at OpenAI, unless their upload or batch says otherwise."""
    unsynced_bytes_max: Count = 64 * MIB
    """Of one batch's answers that wait in a worker for a slow disk; beyond it nothing more is sent."""
    disk_free_min_bytes: Bytes = 256 * MIB
    """Space on the disk that an upload must leave, and below which no more work is taken on."""
    tick_s: Seconds = 0.2
    """How often the clerk looks for dead workers and lapsed batches when nothing wakes it."""
    upstreams: tuple[UpstreamSettings, ...] = ()
    """Those of the `[[upstream]]` tables; never empty, as one named `default`, of `upstream`, stands where none is."""

    def __post_init__(self) -> None:
        if not self.upstreams:
            only = UpstreamSettings(name="default", base_url=self.upstream.rstrip("/"), key_env=self.upstream_key_env)
            msgspec.structs.force_setattr(self, "upstreams", (only,))


def load_settings(
    given: Mapping[str, object], *, file: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Return the settings: `given` first, then the environment, then the file's `[server]` table, then defaults.

    `file` defaults to `tidyllm.toml` in this folder, if there is one; its `[[upstream]]` tables are the upstreams. Of
    `given`, None stands for "not given"; of the environment, other `TIDYLLM_...` variables are none of ours. Raises
    SettingError naming the setting and its place.
    """
    path = file or SETTINGS_FILE
    if file is not None and not path.exists():
        raise SettingError(f"There is no settings file {file}.")
    document = _document(path) if path.exists() else {}
    _refuse_mistyped_tables(document, path)
    places = [
        (f"{path}, [server]", _server_table(document, path)),
        ("the environment", _from_environment(environ)),
        ("what was given", {name: value for name, value in given.items() if value is not None}),
    ]
    chosen: dict[str, object] = {}
    for place, values in places:
        chosen |= {name: _checked(name, value, place=place) for name, value in values.items()}
    if "upstream" in document:
        for place, values in places:
            _refuse_two_ways(values, place=place, file=path)
        chosen["upstreams"] = read_upstreams(document["upstream"], file=path)
    settings = msgspec.convert(chosen, Settings)
    refuse_small_parts(settings.upstreams, workers=settings.workers, file=str(path))
    return settings


def _document(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} is not TOML: {error}.") from error
    except OSError as error:
        raise SettingError(f"The settings file cannot be read: {error}.") from error


def _refuse_mistyped_tables(document: Mapping[str, object], path: Path) -> None:
    for name in document.keys() - _TABLES:
        if nearest := difflib.get_close_matches(name, _TABLES, n=1):
            raise SettingError(f"There is no table `{name}` ({path}): did you mean `{nearest[0]}`?")


def _server_table(document: Mapping[str, object], path: Path) -> Mapping[str, object]:
    table = document.get("server", {})
    if not isinstance(table, dict):
        raise SettingError(f"In {path}, `server` is not a table: write the settings below a line `[server]`.")
    return table


def _refuse_two_ways(values: Mapping[str, object], *, place: str, file: Path) -> None:
    for name in ("upstream", "upstream_key_env"):
        if name in values:
            raise SettingError(
                f"The setting `{name}` ({place}) is for servers with one upstream, and {file} has [[upstream]] tables: "
                "leave one of the two out."
            )


def _from_environment(environ: Mapping[str, str]) -> Mapping[str, object]:
    variables = {name: _PREFIX + name.upper() for name in _TYPES}
    return {name: environ[variable] for name, variable in variables.items() if variable in environ}


def _checked(name: str, value: object, *, place: str) -> object:
    """Return a setting's value in its own type; words are read as numbers, as the environment has nothing else."""
    if name not in _TYPES:
        nearest = difflib.get_close_matches(name, _TYPES, n=1)
        hint = f"did you mean `{nearest[0]}`?" if nearest else f"there are {', '.join(_TYPES)}."
        raise SettingError(f"There is no setting `{name}` ({place}): {hint}")
    try:
        return msgspec.convert(value, _TYPES[name], strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingError(f"The setting `{name}` ({place}) is wrong: {error}, but it is {value!r}.") from error


def _path(_kind: type, value: object) -> object:
    """Read the only type that is not JSON's own."""
    if not isinstance(value, str | Path) or value == "":
        raise ValueError("Expected the path of a folder")
    return Path(value)


_TABLES = frozenset({"server", "upstream"})
_TYPES: Mapping[str, type] = {
    field.name: field.type for field in msgspec.structs.fields(Settings) if field.name != "upstreams"
}
"""Of what can be set by itself: the upstreams have tables of their own."""
