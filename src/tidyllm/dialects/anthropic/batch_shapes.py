"""Message Batches on the wire; unknown fields pass; spec/anthropic 9."""

from datetime import datetime

import msgspec

from tidyllm.core.batch import Batch, BatchStatus, RequestCounts
from tidyllm.dialects.batches import end_moment
from tidyllm.dialects.times import unix_seconds

_STATUSES = {"in_progress": BatchStatus.IN_PROGRESS, "canceling": BatchStatus.CANCELLING}
_NULL = msgspec.Raw(b"null")


class Counts(msgspec.Struct, frozen=True):
    """How the requests ended; until all have, they are said to be processing, every one of them."""

    processing: int | None = None
    succeeded: int | None = None
    errored: int | None = None
    canceled: int | None = None
    expired: int | None = None

    def read(self) -> RequestCounts:
        """Return them in our words."""
        each = (self.processing, self.succeeded, self.errored, self.canceled, self.expired)
        return RequestCounts(
            total=sum(count or 0 for count in each), completed=self.succeeded or 0, failed=self.errored or 0
        )


class MessageBatch(msgspec.Struct, frozen=True):
    """A batch; its size and its birth must be told, for it has nothing else that it is known by."""

    id: str
    processing_status: str
    request_counts: Counts
    created_at: datetime
    expires_at: str | None = None
    ended_at: str | None = None
    cancel_initiated_at: str | None = None

    def read(self) -> Batch:
        """Return it in our words."""
        status = self._status()
        batch = Batch(
            id=self.id,
            status=status,
            status_word=None if status.ended or self.processing_status in _STATUSES else self.processing_status,
            counts=self.request_counts.read(),
            created_at=int(self.created_at.timestamp()),
            expires_at=unix_seconds(self.expires_at),
            endpoint="/v1/messages",
            cancelling_at=unix_seconds(self.cancel_initiated_at),
        )
        return msgspec.structs.replace(batch, **end_moment(status, unix_seconds(self.ended_at)))

    def _status(self) -> BatchStatus:
        """Return where it stands: a batch that has ended does not say how, but its requests do."""
        counts = self.request_counts
        if self.processing_status != "ended":
            return _STATUSES.get(self.processing_status, BatchStatus.IN_PROGRESS)
        if self.cancel_initiated_at is not None and counts.canceled:
            return BatchStatus.CANCELLED
        return BatchStatus.EXPIRED if counts.expired and not counts.succeeded else BatchStatus.COMPLETED


class BatchList(msgspec.Struct, frozen=True):
    """One page of batches."""

    data: list[MessageBatch]
    has_more: bool | None = None


class Result(msgspec.Struct, frozen=True):
    """How a request ended."""

    type: str | None = None
    message: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


class ResultLine(msgspec.Struct, frozen=True):
    """One line of the results."""

    custom_id: str
    result: Result = Result()
