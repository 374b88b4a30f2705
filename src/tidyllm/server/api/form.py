"""The multipart form of a file upload, read as it comes: small fields are kept, the file's bytes are handed on.

Parts may come in any order, so what can be checked only with all fields known is checked at the end.
"""

import re

import msgspec
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from tidyllm.server.api.checks import EXPIRY_S_MAX, EXPIRY_S_MIN, check_anchor, check_range, parse_integer
from tidyllm.server.api.errors import RefusedError, missing, too_large, unknown, wrong_type, wrong_value
from tidyllm.server.api.first_line import FirstLine
from tidyllm.server.settings import Settings

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
"""What a file may be uploaded for; spec/openai-batch 2.1."""
BATCH = "batch"
FIELD_BYTES_MAX = 1024
OVERHEAD_BYTES_MAX = 256 * 1024
"""Of a form without its file's bytes: four parts, each of at most 8 headers of 4 KiB and a field, and boundaries."""

_FILE = "file"
_ANCHOR = "expires_after.anchor"
_SECONDS = "expires_after.seconds"
_FIELDS = frozenset({_FILE, "purpose", _ANCHOR, _SECONDS})
_PLAIN_ENCODINGS = frozenset({b"", b"7bit", b"8bit", b"binary"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DISPOSITION = b"content-disposition"
_ENCODING = b"content-transfer-encoding"


class UploadForm(msgspec.Struct, frozen=True, kw_only=True):
    """What an accepted upload said about its file."""

    filename: str
    """Its last part only, where a whole path was sent."""
    purpose: str
    bytes: int
    expires_after_s: int | None


class FormReader:
    """Feed it the body in pieces, take the file's bytes from it in pieces, and let it finish.

    `feed` and `finish` raise RefusedError. Nothing is kept of the file but the bytes not yet taken and its first line.
    """

    def __init__(self, content_type: str, settings: Settings) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise RefusedError("A file is uploaded as multipart/form-data, with a boundary in its Content-Type.")
        self._settings = settings
        self._fields: dict[str, str] = {}
        self._filename: str | None = None
        self._file_bytes = 0
        self._pieces: list[bytes] = []
        self._first_line = FirstLine()
        self._ended = False
        self._name = ""
        self._value = bytearray()
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self.waiting = 0
        """Bytes of the file that were read and not yet taken."""
        self._parser = self._new_parser(options[b"boundary"])

    def feed(self, data: bytes) -> None:
        """Read the next piece of the body."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _unreadable(str(error)) from error

    def take(self) -> bytes:
        """Return the bytes of the file that were read since the last time."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self.waiting = 0
        return taken

    def close(self) -> None:
        """Let go of the parser, as it holds on to this reader: in a circle, both would stay in memory with what they
        have read until the collector comes, and that is seldom.
        """
        del self._parser

    def finish(self) -> UploadForm:
        """Return what the form said, once the whole body was fed."""
        if not self._ended:
            raise _unreadable("it ends before its closing boundary")
        if self._filename is None:
            raise missing(_FILE)
        purpose = self._fields.get("purpose")
        if purpose is None:
            raise missing("purpose")
        if purpose not in PURPOSES:
            raise wrong_value("purpose", value=purpose, supported=PURPOSES)
        expires_after_s = self._expiry()
        if purpose == BATCH:
            self._check_size()
            self._first_line.check(self._filename)
        return UploadForm(
            filename=self._filename, purpose=purpose, bytes=self._file_bytes, expires_after_s=expires_after_s
        )

    def _expiry(self) -> int | None:
        anchor, seconds = self._fields.get(_ANCHOR), self._fields.get(_SECONDS)
        if anchor is None and seconds is None:
            return None
        check_anchor(anchor, param=_ANCHOR)
        if seconds is None:
            raise missing(_SECONDS)
        return check_range(parse_integer(seconds, param=_SECONDS), param=_SECONDS, low=EXPIRY_S_MIN, high=EXPIRY_S_MAX)

    def _check_size(self) -> None:
        batch = self._fields.get("purpose") == BATCH
        bytes_max = self._settings.batch_bytes_max if batch else self._settings.upload_bytes_max
        if self._file_bytes > bytes_max:
            raise too_large("A batch input file" if batch else "The file", bytes_max=bytes_max, param=_FILE)

    # What the parser calls

    def _new_parser(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": lambda data, start, end: self._part_data(data[start:end]),
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _unreadable(str(error)) from error

    def _part_begin(self) -> None:
        self._headers = {}
        self._value.clear()

    def _header_end(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _headers_finished(self) -> None:
        encoding = self._headers.get(_ENCODING, b"").strip().lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise _unreadable("a part has a Content-Transfer-Encoding")
        _, options = parse_options_header(self._headers.get(_DISPOSITION, b"").decode("latin-1"))
        self._name = _plain_name(_text(options.get(b"name", b"")))
        if self._name not in _FIELDS:
            raise unknown(self._name) if self._name else _unreadable("a part has no name")
        if self._name in self._fields or (self._name == _FILE and self._filename is not None):
            raise _unreadable(f"it has more than one '{self._name}'")
        if self._name == _FILE:
            self._filename = _safe_filename(_text(options.get(b"filename", b"")))

    def _part_data(self, piece: bytes) -> None:
        if self._name == _FILE:
            self._pieces.append(piece)
            self.waiting += len(piece)
            self._file_bytes += len(piece)
            self._first_line.feed(piece)
            self._check_size()
            return
        self._value += piece
        if len(self._value) > FIELD_BYTES_MAX:
            raise _unreadable(f"'{self._name}' has more than {FIELD_BYTES_MAX} bytes")

    def _part_end(self) -> None:
        if self._name != _FILE:
            self._fields[self._name] = _text(bytes(self._value))

    def _end(self) -> None:
        self._ended = True


def _unreadable(reason: str) -> RefusedError:
    return RefusedError(f"The multipart form of your request could not be read: {reason}.")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _unreadable("a name or a field is not UTF-8") from error


def _plain_name(name: str) -> str:
    """Return the name with brackets as dots: `expires_after[seconds]` and `expires_after.seconds` are the same."""
    return name.replace("[", ".").replace("]", "")


def _safe_filename(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2]
    if not last:
        raise wrong_type(_FILE, expected="a file with a filename", value=name)
    if _CONTROL.search(last):
        raise RefusedError("Invalid 'file': its name has control characters.", param=_FILE, code="invalid_value")
    return last
