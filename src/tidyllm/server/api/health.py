"""The route /health: whether the server can do its work, and if not, why."""

from starlette.requests import Request
from starlette.responses import Response

from tidyllm.server.api.services import Services
from tidyllm.server.api.shapes import json_response


class HealthRoute:
    """What the server says of itself."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def tell(self, request: Request) -> Response:
        """Say how the server is, and which version it is; GET /health. A `low_disk` takes no uploads and no work."""
        settings = self._services.settings
        try:
            free = self._services.disk.free_bytes(settings.data)
            status = "ok" if free >= settings.disk_free_min_bytes else "low_disk"
        except OSError:
            free, status = None, "disk_error"
        disk = {"free_bytes": free, "free_min_bytes": settings.disk_free_min_bytes}
        return json_response({"status": status, "version": request.app.version, "disk": disk})
