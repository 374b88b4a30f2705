"""The shallow look at a batch input file that an upload gets: its name, and whether its first line is JSON.

The rest is checked when a batch reads the file; spec/openai-batch 2.6.
"""

import msgspec

from tidyllm.core.jsonl import BOM
from tidyllm.server.api.errors import RefusedError

FIRST_LINE_BYTES_MAX = 1024 * 1024
"""A longer first line is not looked at here, so that uploads stay small in memory; the batch will look at it."""

_BLANK = b" \t\r\n"


class FirstLine:
    """The first line that is not blank of a file that is fed in pieces."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._started = False
        self._searched = 0
        self._ended = False
        self._overlong = False

    def feed(self, data: bytes) -> None:
        """Read the next piece of the file; costs nothing once the line is complete."""
        if self._ended:
            return
        self._line += data
        if not self._started:
            if len(self._line) < len(BOM):
                return
            self._line = self._line.removeprefix(BOM)
            self._started = True
        if not self._searched:
            self._line = self._line.lstrip(_BLANK)
        end = self._line.find(b"\n", self._searched)
        self._searched = len(self._line)
        self._overlong = (end if end >= 0 else self._searched) > FIRST_LINE_BYTES_MAX
        if end >= 0 or self._overlong:
            del self._line[max(end, 0) :]
            self._ended = True

    def check(self, filename: str) -> None:
        """Raise RefusedError unless the file, fed as a whole, may be the input of a batch."""
        if not filename.lower().endswith(".jsonl"):
            raise RefusedError("Invalid file format for Batch API. Must be .jsonl")
        if self._overlong:
            return
        line = bytes(self._line).strip()
        if not line:
            raise RefusedError("Invalid file format for Batch API. Must be .jsonl with at least one line.")
        try:
            msgspec.json.decode(line.decode(), type=msgspec.Raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = "Invalid file format for Batch API. Must be .jsonl, and its first line is not JSON."
            raise RefusedError(message) from error
