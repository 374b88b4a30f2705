"""What a provider accepts at most, and takes for it."""

import msgspec


class BatchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The largest batch a provider takes."""

    requests_max: int
    """Requests in one batch."""
    input_bytes_max: int
    """Bytes of one batch's input file, or of the request with all of them."""
