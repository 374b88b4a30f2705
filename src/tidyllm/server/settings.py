"""Every setting of the server, with its limit's name, its default, and where it may be set."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tidyllm.core.errors import SettingError

MIB = 1024 * 1024
_PREFIX = "TIDYLLM_"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The server's settings: from the command line, then `TIDYLLM_...` variables, then `[server]` in `tidyllm.toml`."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback only, as there are no keys yet."""
    port: int = 8642
    """Port to listen on; 0 takes a free one."""
    data: Path = Path("tidyllm-data")
    """Folder of everything the server keeps; created with mode 0700."""
    upstream: str = "http://127.0.0.1:8000/v1"
    """Base URL of the OpenAI-compatible endpoint that answers the requests, with its `/v1`."""
    upstream_key_env: str = "TIDYLLM_UPSTREAM_KEY"
    """Name of the environment variable that holds the upstream's key, if it wants one."""
    workers: int = 1
    """Worker processes."""
    concurrency: int = 64
    """Requests in flight, in each worker."""
    claim_shards_max: int = 4
    """Shards a worker leases in one statement."""
    attempts_max: int = 3
    """Times a request is sent when the failure is its own (408, 5xx, a broken body, a time-out)."""
    request_timeout_s: float = 600.0
    """For one request to the upstream, from connecting to the last byte."""
    response_bytes_max: int = 64 * MIB
    """Of one upstream answer, after decompression."""
    cancel_grace_s: float = 30.0
    """How long requests in flight may go on after a cancel or a stop."""
    count_interval_s: float = 1.0
    """At most this often a worker writes its shards' counts to the database."""
    upload_bytes_max: int = 512 * MIB
    """Of one uploaded file."""
    batch_bytes_max: int = 200 * MIB
    """Of one batch's input file."""
    batch_requests_max: int = 50_000
    """Lines in one batch's input file."""
    line_bytes_max: int = 16 * MIB
    """Of one line of an input file."""
    problems_max: int = 100
    """Problems listed for one refused input file."""
    json_body_bytes_max: int = 1 * MIB
    """Of a JSON request to the API."""
    file_retention_s: int = 30 * 86_400
    """How long batch input and result files are kept, unless the upload says otherwise; spec/openai-batch 2.1."""
    tick_s: float = 0.2
    """How often the clerk looks for dead workers and lapsed batches when nothing wakes it."""


def load_settings(
    given: Mapping[str, object], *, file: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Return the settings: `given` first, then the environment, then the file's `[server]` table, then defaults.

    `file` defaults to `tidyllm.toml` in this folder, if there is one. Raises SettingError naming the bad setting.
    """
    known = set(Settings.__struct_fields__)
    merged: dict[str, object] = dict(_from_file(file, known))
    for name in known:
        if (value := environ.get(_PREFIX + name.upper())) is not None:
            merged[name] = value
    merged.update({name: value for name, value in given.items() if value is not None})
    try:
        return msgspec.convert(merged, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingError(f"A setting of the server is wrong: {error}.") from error


def _from_file(file: Path | None, known: set[str]) -> Mapping[str, object]:
    path = file or Path("tidyllm.toml")
    if not path.exists():
        if file is not None:
            raise SettingError(f"There is no settings file {file}.")
        return {}
    try:
        table = tomllib.loads(path.read_text()).get("server", {})
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{path} is not TOML: {error}.") from error
    if unknown := sorted(set(table) - known):
        raise SettingError(f"{path} has unknown settings under [server]: {', '.join(unknown)}.")
    return table  # type: ignore[no-any-return]


def _path(kind: type, value: object) -> object:
    if kind is Path or issubclass(kind, Path):
        return Path(str(value))
    raise NotImplementedError
