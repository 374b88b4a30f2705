"""New ids of files and batches, in OpenAI's form, unguessable."""

import secrets
import string

_BASE62 = string.digits + string.ascii_letters
_FILE_ID_LENGTH = 24
_BATCH_ID_BYTES = 16


def new_file_id() -> str:
    """Return `file-` and 24 base62 characters (142 bits)."""
    return "file-" + "".join(secrets.choice(_BASE62) for _ in range(_FILE_ID_LENGTH))


def new_batch_id() -> str:
    """Return `batch_` and 32 hexadecimal digits (128 bits)."""
    return "batch_" + secrets.token_hex(_BATCH_ID_BYTES)
