"""The Files API: sending and fetching a file; spec/openai-batch 2."""

from pathlib import Path
from urllib.parse import quote

import msgspec

from tidyllm.core.file import FileInfo
from tidyllm.core.wire import Call, Multipart, Part, Repeat, Request
from tidyllm.dialect import Site
from tidyllm.dialects.errors import decode, success


class Files(msgspec.Struct, frozen=True):
    """The Files API."""

    def upload(self, site: Site, file: Path, *, purpose: str) -> Call[FileInfo]:
        """Send a file, streamed from disk; a connection that breaks off may leave a file behind at the provider."""
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
        return decode(success(response, site), FileInfo, site=site)

    def download(self, site: Site, file_id: str, *, sink: Path) -> Call[None]:
        """Write a file's content to `sink` as it comes."""
        response = yield Request(
            method="GET",
            url=f"{site.base_url}/files/{quote(file_id, safe='')}/content",
            headers=site.headers,
            auth=site.auth,
            sink=sink,
        )
        success(response, site)
