"""How uvicorn is to speak HTTP, with a limit that it lacks: on the head of a request."""

from asyncio import Transport

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
"""Of a request's line and headers together; spec/openai-batch 1.1. What comes in one read may pass it."""
CONNECTIONS_MAX = 1000
"""Beyond it, requests are answered with 503 at once, which clients take as "try again"."""
GRACEFUL_S = 5
"""How long answers on their way may take when the server is to stop."""
_REFUSAL_BODY = (
    b'{"error":{"message":"The headers are longer than 64 KiB together.","type":"invalid_request_error",'
    b'"param":null,"code":null}}'
)
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_REFUSAL_BODY), _REFUSAL_BODY)
)


class BoundedHeadProtocol(HttpToolsProtocol):
    """Refuses a request whose head does not end, instead of keeping all of it in memory."""

    _in_head = True
    _heads = 0
    _head_bytes = 0
    transport: Transport

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless the head has grown too long."""
        head = self._heads if self._in_head else None
        super().data_received(data)
        if head != self._heads or not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Go on with the body."""
        self._in_head = False
        self._heads += 1
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next request of the connection, with a head of its own."""
        self._in_head = True
        super().on_message_complete()


def server_config(app: ASGIApp) -> uvicorn.Config:
    """Return uvicorn's configuration for the API."""
    return uvicorn.Config(
        app,
        http=BoundedHeadProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=GRACEFUL_S,
    )
