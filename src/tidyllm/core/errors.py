"""What can go wrong, as one tree of exceptions that carry facts.

* TidyllmError                everything this package raises on purpose
  * SettingError              an argument, a setting or a file is wrong; nothing was sent
    * MissingKeyError         no API key was found where the provider's declaration looks
  * TransportError            no complete answer arrived
    * ConnectError            the connection was refused or never stood: the request was not sent
    * AnswerTimeoutError      the time was up; the request may have been carried out
    * BrokenConnectionError   the connection broke off; the request may have been carried out
      * StreamCutError        a streamed answer ended before its end; `text` is what had come of it
    * BodyTooLargeError       the answer's body passed its cap and was abandoned
  * ApiError                  the API answered with an error
    * BadRequestError         400, 413 or 422: this request will never be accepted as it is
    * AuthError               401: the key is wrong or missing
    * PermissionDeniedError   403: the key may not do this
    * NotFoundError           404 or 410
    * ConflictError           409
    * RateLimitError          429: too fast; `retry_after_s` says how long to wait, where known
    * QuotaError              402, or a 429 that waiting does not cure: no credit, a spend cap, a day's quota
    * ServerError             500 and above, 408 and 424
  * PartlyFailedError         some of several requests were not answered; `results` has the answers of the others
  * BadAnswerError            the API answered with success, but not with what its documentation says
    * RefusedAnswerError      the model declined, or a filter stopped it, where data were asked for
    * TruncatedAnswerError    the answer was cut off before the data were whole
    * InvalidAnswerError      the answer does not fit the schema; the message says where
  * JobError                  a job on disk and what was asked of it do not go together
    * JobNotFoundError        there is no job of that name
    * JobChangedError         a job of that name exists with other content
    * JobLockedError          the job is still being worked on
    * JobUnsureError          a batch may have been created that nobody can tell from others
    * NotDoneError            the batch has not ended yet
    * BatchFailedError        the provider refused the batch as a whole; nothing was run
  * StorageError              what must be kept cannot be: the disk or the database is full, read-only or failing
    * JournalError            an append-only log cannot be written or is not one
"""

from collections.abc import Mapping


class TidyllmError(Exception):
    """The root of the tree: catch this to catch all that the package raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        """Let it travel between processes with all its facts, whatever the constructor asks for."""
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[TidyllmError], args: tuple[object, ...]) -> TidyllmError:
    return kind.__new__(kind, *args)


class SettingError(TidyllmError):
    """An argument, a setting or a file is wrong; nothing was sent."""


class MissingKeyError(SettingError):
    """No API key was found where the provider's declaration looks."""


class TransportError(TidyllmError):
    """No complete answer arrived. `url` is where the request went.

    `attempts` is how often it was tried, and `seconds` how long the last attempt took.
    """

    attempts: int = 1
    seconds: float | None = None

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url


class ConnectError(TransportError):
    """The connection was refused or never stood: the request was not sent."""


class AnswerTimeoutError(TransportError):
    """The time was up; the request may have been carried out."""


class BrokenConnectionError(TransportError):
    """The connection broke off in mid-request or mid-answer; the request may have been carried out."""


class StreamCutError(BrokenConnectionError):
    """A streamed answer ended before its end. `text` is what had come of it; it may have been paid for."""

    def __init__(self, message: str, *, url: str, text: str = "") -> None:
        super().__init__(message, url=url)
        self.text = text


class BodyTooLargeError(TransportError):
    """The answer's body passed its cap, counted after decompression, and was abandoned."""


class ApiError(TidyllmError):
    """The API answered with an error.

    `status` is the HTTP status; `code`, `param` and `request_id` are the API's own words; `provider` is the
    provider's name; `retry_after_s` is how long the API asked to wait; `body` is the answer's body, raw; `attempts` is
    how often the request was sent, and `seconds` how long the last answer took.
    """

    attempts: int = 1
    seconds: float | None = None

    def __init__(  # noqa: PLR0913 - facts, one keyword each
        self,
        message: str,
        *,
        status: int,
        provider: str,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.provider = provider
        self.code = code
        self.param = param
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.body = body


class BadRequestError(ApiError):
    """400, 413 or 422: this request will never be accepted as it is."""


class AuthError(ApiError):
    """401: the key is wrong or missing."""


class PermissionDeniedError(ApiError):
    """403: the key may not do this."""


class NotFoundError(ApiError):
    """404 or 410: there is no such thing, or not for this key."""


class ConflictError(ApiError):
    """409: the thing is in a state in which this cannot be done."""


class RateLimitError(ApiError):
    """429: too fast; `retry_after_s` says how long to wait, where known."""


class QuotaError(ApiError):
    """402, or a 429 that waiting does not cure: no credit left, a spend cap, or a day's quota."""


class ServerError(ApiError):
    """500 and above, 408 and 424: the API's own fault."""


class BadAnswerError(TidyllmError):
    """The API answered with success, but not with what its documentation says. `body` is the raw answer.

    `attempts` and `seconds` are as in `ApiError`, where a request has just met it.
    """

    attempts: int | None = None
    seconds: float | None = None

    def __init__(self, message: str, *, body: bytes) -> None:
        super().__init__(message)
        self.body = body


class RefusedAnswerError(BadAnswerError):
    """The model declined, or a filter stopped it, where data were asked for."""


class TruncatedAnswerError(BadAnswerError):
    """The answer was cut off before the data were whole: at `max_tokens`, or by a server that gave up."""


class InvalidAnswerError(BadAnswerError):
    """The answer does not fit the schema; the message says in one line what is wrong, and where."""


class PartlyFailedError(TidyllmError):
    """Some of several requests were not answered.

    `results` has, in their order, what each became, or the exception that it met; the first of those is the cause of
    this one. `chat` becomes a conversation with its answer, `embed` the table of the texts that were asked together;
    of a user's table it is that table alone, with what became of each row.
    """

    def __init__(self, message: str, *, results: tuple[object, ...]) -> None:
        super().__init__(message)
        self.results = results


class JobError(TidyllmError):
    """A job on disk and what was asked of it do not go together. `name` is the job's name."""

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class JobNotFoundError(JobError):
    """There is no job of that name."""


class JobChangedError(JobError):
    """A job of that name exists with other content. `differences` says in which parts."""

    def __init__(self, message: str, *, name: str, differences: Mapping[str, str]) -> None:
        super().__init__(message, name=name)
        self.differences = differences


class JobLockedError(JobError):
    """The job is still being worked on, by another process or an earlier call of this one."""


class JobUnsureError(JobError):
    """A batch may have been created that nobody can tell from others. `candidates` has the ids of those."""

    def __init__(self, message: str, *, name: str, candidates: tuple[str, ...]) -> None:
        super().__init__(message, name=name)
        self.candidates = candidates


class NotDoneError(JobError):
    """The batch has not ended yet. `status` is where it stands."""

    def __init__(self, message: str, *, name: str, status: str) -> None:
        super().__init__(message, name=name)
        self.status = status


class BatchFailedError(JobError):
    """The provider refused the batch as a whole; nothing was run. `problems` lists why."""

    def __init__(self, message: str, *, name: str, problems: tuple[str, ...]) -> None:
        super().__init__(message, name=name)
        self.problems = problems


class StorageError(TidyllmError):
    """What must be kept cannot be. `full` says that space, or the permission to write, would cure it."""

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


class JournalError(StorageError):
    """An append-only log cannot be written, or a file is not one."""


# 424: the model behind Perplexity failed, spec/perplexity 9. 498: Groq has no capacity, spec/groq 11.
_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequestError,
    401: AuthError,
    402: QuotaError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: ServerError,
    409: ConflictError,
    410: NotFoundError,
    413: BadRequestError,
    422: BadRequestError,
    424: ServerError,
    429: RateLimitError,
    498: ServerError,
}
_SERVER_FAULT = 500


def error_class(status: int) -> type[ApiError]:
    """Return the class of error that stands for an HTTP status outside 200-299."""
    return _BY_STATUS.get(status, ServerError if status >= _SERVER_FAULT else ApiError)
