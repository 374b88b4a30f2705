"""Files: a resumable upload, which takes two requests, and the download of what was generated; spec/gemini 8."""

from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from tidyllm.core.errors import BadAnswerError
from tidyllm.core.file import FileInfo
from tidyllm.core.wire import Call, Repeat, Request
from tidyllm.dialect import Site
from tidyllm.dialects.errors import decode, success

_FILES = "files/"
_LINES = "application/jsonl"
_TIMEOUT_S = 3600.0
"""For up to 2 GB."""


class Files(msgspec.Struct, frozen=True):
    """The Files API."""

    def upload(self, site: Site, file: Path, *, purpose: str) -> Call[FileInfo]:  # noqa: ARG002
        """Send a file of JSON lines, streamed from disk; a connection that breaks off may leave a file behind.

        Raises BadAnswerError where the API does not say where to send it, or what it is called there.
        """
        url = yield from _session(site, file)
        response = yield Request(
            method="POST",
            url=url,
            headers=(
                # The address is the API's own choice and holds what opens it: what is signed or is the user's own
                # goes nowhere but to the host that was given.
                *(site.headers if urlsplit(url).netloc == urlsplit(site.base_url).netloc else ()),
                ("content-type", _LINES),
                ("x-goog-upload-offset", "0"),
                ("x-goog-upload-command", "upload, finalize"),
            ),
            body=file,
            repeat=Repeat.IF_NOT_SENT,
            timeout_s=_TIMEOUT_S,
        )
        body = success(response, site)
        said = decode(body, _Uploaded, site=site)
        if said.file is None:  # as of a quota that is used up
            raise BadAnswerError(f"{site.provider} took {file.name}, and does not say what it is called.", body=body)
        return FileInfo(id=said.file.name)

    def download(self, site: Site, file_id: str, *, sink: Path) -> Call[None]:
        """Write the content of a file that the API made to `sink` as it comes."""
        name = quote(file_id.removeprefix(_FILES), safe="")
        response = yield Request(
            method="GET",
            url=f"{_beside(site, 'download')}/files/{name}:download?alt=media",
            headers=site.headers,
            auth=site.auth,
            sink=sink,
        )
        success(response, site)


class _File(msgspec.Struct, frozen=True):
    name: str


class _Uploaded(msgspec.Struct, frozen=True):
    file: _File | None = None


def _session(site: Site, file: Path) -> Call[str]:
    """Return where to send a file to."""
    response = yield Request(
        method="POST",
        url=f"{_beside(site, 'upload')}/files",
        headers=site.says(
            ("content-type", "application/json"),
            ("x-goog-upload-protocol", "resumable"),
            ("x-goog-upload-command", "start"),
            # The one thing that is read of the disk here: the API wants to know the length before it is sent.
            ("x-goog-upload-header-content-length", str(file.stat().st_size)),
            ("x-goog-upload-header-content-type", _LINES),
        ),
        body=msgspec.json.encode({"file": {"displayName": file.name}}),
        auth=site.auth,
    )
    body = success(response, site)
    url = response.headers.get("x-goog-upload-url", "")
    if not url.startswith(("https://", "http://")):
        raise BadAnswerError(f"{site.provider} does not say where {file.name} is to be sent to.", body=body)
    return url


def _beside(site: Site, kind: str) -> str:
    """Return the address of the uploads or downloads: as the API's own, with a word before the version."""
    host, _, version = site.base_url.rpartition("/")
    return f"{host}/{kind}/{version}"
