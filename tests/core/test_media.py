"""Images and files as values: what they are is found from their names and their bytes."""

import copy
from typing import Any

import msgspec
import pytest

from tidyllm.core.errors import SettingError
from tidyllm.core.media import BYTES_MAX, Kind, Media, medium_at, medium_of

PNG = b"\x89PNG\r\n\x1a\n and so on"
JPEG = b"\xff\xd8\xff and so on"
GIF = b"GIF89a and so on"
WEBP = b"RIFF\x10\0\0\0WEBP and so on"
PDF = b"%PDF-1.7 and so on"


def of(data: bytes, name: str | None = None, kind: Kind | None = None) -> Media:
    return medium_of(data, kind=kind, name=name, called="It")


@pytest.mark.parametrize(
    ("data", "name", "mime_type"),
    [
        (PNG, "a.png", "image/png"),
        (PNG, "A.PNG", "image/png"),
        (PNG, "a.dat", "image/png"),
        (JPEG, "a.b.jpeg", "image/jpeg"),
        (JPEG, "a.jpg", "image/jpeg"),
        (GIF, None, "image/gif"),
        (b"GIF87a", None, "image/gif"),
        (WEBP, None, "image/webp"),
        (PDF, "a.pdf", "application/pdf"),
        (PDF, None, "application/pdf"),
        (b"a,b\n", "a.csv", "text/csv"),
        ("# Zuse, dö".encode(), "a.md", "text/markdown"),
        (b"a", "README", "text/plain"),
        ("dö".encode() * 2000, None, "text/plain"),
    ],
)
def test_the_type_is_found_from_the_name_and_the_bytes(data: bytes, name: str | None, mime_type: str) -> None:
    medium = of(data, name)
    assert (medium.mime_type, medium.data, medium.name, medium.url) == (mime_type, data, name, None)
    assert medium.kind is (Kind.IMAGE if mime_type.startswith("image/") else Kind.FILE)


@pytest.mark.parametrize(
    ("data", "name", "kind", "told"),
    [
        (b"", "a.png", None, "It is empty"),
        (bytes(BYTES_MAX + 1), "a.png", None, r"has 52,428,801 bytes; at most 52,428,800"),
        (JPEG, "a.png", None, "called 'a.png' but is image/jpeg, and no image/png: rename"),
        (b"hello", "a.png", None, "called 'a.png' but is something else, and no image/png"),
        (b"hello", "a.pdf", None, "and no application/pdf"),
        (PDF, "a.txt", None, "is application/pdf, and no text/plain"),
        (b"PK\3\4 words", "a.docx", None, "of a type that is not known. These are: png, jpeg"),
        (b"\xff\0\1", None, None, "of a type that is not known"),
        (b"a\xff", "a.txt", None, "no text in UTF-8"),
        (b"a\0", "a.csv", None, "no text in UTF-8"),
        (b"a" * 2000 + b"\xff", "a.txt", None, "no text in UTF-8"),
        (b"a" * 2000 + b"\xc3", "a.txt", None, "no text in UTF-8"),
        (PDF, "a.pdf", Kind.IMAGE, r"It is application/pdf, and no image: it goes with file\("),
        (PNG, "a.png", Kind.FILE, r"It is an image: it goes with image\("),
    ],
)
def test_what_is_not_what_it_should_be_is_refused(data: bytes, name: str | None, kind: Kind | None, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        of(data, name, kind)


@pytest.mark.parametrize(
    ("url", "kind", "mime_type", "name"),
    [
        ("https://a.example/x/photo%20one.jpg?size=2", Kind.IMAGE, "image/jpeg", "photo one.jpg"),
        ("https://a.example/x", Kind.IMAGE, "image/*", "x"),
        ("https://a.example", None, "image/*", None),
        ("https://a.example/report.pdf", None, "application/pdf", "report.pdf"),
        ("https://arxiv.example/pdf/2401.1", Kind.FILE, "application/pdf", "2401.1"),
        ("https://a.example/notes.txt", Kind.FILE, "text/plain", "notes.txt"),
    ],
)
def test_of_a_url_the_name_tells(url: str, kind: Kind | None, mime_type: str, name: str | None) -> None:
    assert medium_at(url, kind=kind) == Media(mime_type=mime_type, url=url, name=name)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://a.example/x.png", "https://"),
        ("ftp://a.example/x.png", "https://"),
        ("https:///x.png", "https://"),
        ("https://me:secret@a.example/x.png", "without a user"),
        ("https://a.example/" + "x" * 9000, "at most 8,192 characters"),
        ("https://[/x.png", "is no URL"),
        ("https://a.example/\ud800.png", "half a character"),
        ("https://a.example/x.pdf", "no image"),
    ],
)
def test_a_url_that_cannot_be_is_refused(url: str, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        medium_at(url, kind=Kind.IMAGE)


def test_it_shows_what_it_is_and_never_its_bytes_nor_the_query_of_its_url() -> None:
    medium, other = of(PNG, "a.png"), medium_at("https://a.example/b.png?sig=secret")
    assert repr(medium) == "Media(a.png, image/png, 18 bytes)"
    assert repr(other) == "Media(https://a.example/b.png, image/png)"
    assert repr(of(PNG)) == "Media(image/png, 18 bytes)"
    assert medium.__rich_repr__() == [("mime_type", "image/png"), ("name", "a.png"), ("size", "18 bytes")]
    assert ("url", "https://a.example/b.png") in other.__rich_repr__()


def test_it_is_a_value() -> None:
    medium = of("dö".encode(), "a.txt")
    assert medium.text == "dö"
    assert msgspec.json.decode(msgspec.json.encode(medium), type=Media) == medium
    assert {medium: 1}[of("dö".encode(), "a.txt")] == 1
    assert copy.deepcopy(medium) == medium


@pytest.mark.parametrize("told", [{}, {"data": b"x", "url": "https://a"}])
def test_it_has_either_bytes_or_a_url(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either bytes or a URL"):
        Media(mime_type="image/png", **told)
    with pytest.raises(msgspec.ValidationError, match="either bytes or a URL"):
        msgspec.convert({"mime_type": "image/png", **told}, Media)
