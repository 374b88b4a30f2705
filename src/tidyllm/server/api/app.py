"""The API as one application: its routes, its gate, and its answers to what it does not know."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tidyllm.core.clock import Clock
from tidyllm.core.disk import Disk
from tidyllm.server.api.batches import BatchRoutes
from tidyllm.server.api.errors import RefusedError, error_response
from tidyllm.server.api.files import FileRoutes
from tidyllm.server.api.gate import Gate
from tidyllm.server.api.health import HealthRoute
from tidyllm.server.api.services import Services
from tidyllm.server.blob import Blobs
from tidyllm.server.settings import Settings
from tidyllm.server.thread import StoreThread

_NOT_FOUND = 404


def create_app(settings: Settings, store: StoreThread, *, blobs: Blobs, disk: Disk, clock: Clock) -> FastAPI:
    """Return the application that any ASGI server can serve; it opens nothing and closes nothing.

    The answers of its routes are made by hand, not by response models: a page of batches is to take microseconds.
    """
    services = Services(settings=settings, store=store, blobs=blobs, disk=disk, clock=clock)
    app = FastAPI(
        title="tidyllm",
        version=version("tidyllm"),
        openapi_url=None,
        redirect_slashes=False,
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
        exception_handlers={RefusedError: _refuse, HTTPException: _refuse_route},
    )
    app.add_middleware(Gate, host=settings.host, clock=clock)
    _add_routes(app, files=FileRoutes(services), batches=BatchRoutes(services), health=HealthRoute(services))
    return app


def _add_routes(app: FastAPI, *, files: FileRoutes, batches: BatchRoutes, health: HealthRoute) -> None:
    for method, path, endpoint in (
        ("POST", "/v1/files", files.upload),
        ("GET", "/v1/files", files.list),
        ("GET", "/v1/files/{file_id}", files.retrieve),
        ("DELETE", "/v1/files/{file_id}", files.delete),
        ("GET", "/v1/files/{file_id}/content", files.content),
        ("POST", "/v1/batches", batches.create),
        ("GET", "/v1/batches", batches.list),
        ("GET", "/v1/batches/{batch_id}", batches.retrieve),
        ("POST", "/v1/batches/{batch_id}/cancel", batches.cancel),
        ("GET", "/health", health.tell),
    ):
        app.add_api_route(path, endpoint, methods=[method], response_model=None)


async def _refuse(request: Request, refused: RefusedError) -> Response:  # noqa: ARG001 - what FastAPI calls a handler with
    return error_response(refused)


async def _refuse_route(request: Request, error: HTTPException) -> Response:
    """Answer for a URL that is not there, or not with this method; nothing else of ours raises this exception."""
    called = f"{request.method} {request.scope['path']}"
    if error.status_code == _NOT_FOUND:
        return error_response(RefusedError(f"Invalid URL ({called})", status=_NOT_FOUND))
    message = f"The method is not allowed for this URL ({called})."
    headers = {"allow": ", ".join(_methods_of(request))}
    return error_response(RefusedError(message, status=error.status_code, code="method_not_allowed", headers=headers))


def _methods_of(request: Request) -> list[str]:
    """Return the methods of all routes with the request's path; the exception knows only those of the first."""
    routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
    return sorted(
        {one for route in routes if route.path_regex.match(request.scope["path"]) for one in route.methods or ()}
    )
