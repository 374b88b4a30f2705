"""The Files API: sending and fetching a file; spec/openai-batch 2."""

from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import msgspec

from tidyllm.core.file import FileInfo
from tidyllm.core.wire import Call, Multipart, Part, Repeat, Request, Sleep
from tidyllm.dialect import Site
from tidyllm.dialects.errors import decode, success

_UNREADY = frozenset({"uploaded", "pending", "notrunning", "running"})
"""What Azure calls a file that it is still working on, in lower case; spec/azure 7."""
_LOOK_S = 5.0
_LOOKS_MAX = 360
"""Half an hour in all, as long as OpenAI's own library waits; spec/openai-batch 2.2."""
_MOVED = range(301, 309)


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """The Files API, with what differs between those who have it."""

    readies: bool = False
    """Whether a file that was sent cannot be used before the provider has made it ready."""
    points_elsewhere: bool = False
    """Whether the API may point to another address for a file's content."""

    def upload(self, site: Site, file: Path, *, purpose: str) -> Call[FileInfo]:
        """Send a file, streamed from disk; a connection that breaks off may leave a file behind at the provider.

        Where files have to be made ready, it is looked at until it is; one that never is, is returned as well: the
        request that uses it is told why not.
        """
        form = Multipart(
            (
                Part(name="purpose", content=purpose.encode()),
                Part(name="file", content=file, filename=file.name, content_type="application/octet-stream"),
            )
        )
        response = yield Request(
            method="POST",
            url=f"{site.base_url}/files",
            headers=site.headers,
            body=form,
            auth=site.auth,
            repeat=Repeat.IF_NOT_SENT,
        )
        sent = decode(success(response, site), _File, site=site)
        if self.readies:
            yield from _wait(site, sent)
        return FileInfo(id=sent.id)

    def download(self, site: Site, file_id: str, *, sink: Path) -> Call[None]:
        """Write a file's content to `sink` as it comes."""
        request = Request(
            method="GET",
            url=f"{site.base_url}/files/{quote(file_id, safe='')}/content",
            headers=site.headers,
            auth=site.auth,
            sink=sink,
        )
        response = yield request
        place = response.headers.get("location")
        if self.points_elsewhere and response.status in _MOVED and place:
            response = yield _moved(request, place)
        success(response, site)


class _File(msgspec.Struct, frozen=True):
    id: str
    status: str | None = None


def _wait(site: Site, file: _File) -> Call[None]:
    looks = 0
    while (file.status or "").lower() in _UNREADY and looks < _LOOKS_MAX:
        looks += 1
        yield Sleep(_LOOK_S)
        url = f"{site.base_url}/files/{quote(file.id, safe='')}"
        response = yield Request(method="GET", url=url, headers=site.headers, auth=site.auth)
        file = decode(success(response, site), _File, site=site)


def _moved(request: Request, place: str) -> Request:
    """Return the request for the same content at the place that the API points to."""
    url = urljoin(request.url, place)
    if urlsplit(url)[:2] == urlsplit(request.url)[:2]:
        return msgspec.structs.replace(request, url=url)
    # Such an address is signed in itself: neither the key nor the user's headers are for others to see.
    return msgspec.structs.replace(request, url=url, headers=(), auth=None)
