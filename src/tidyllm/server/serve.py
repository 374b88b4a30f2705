"""`tidyllm serve`: one command that starts the processes, restarts those that die, and stops them in good order."""

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence

import msgspec

from tidyllm.core.disk import LocalDisk
from tidyllm.core.errors import SettingError
from tidyllm.core.url import checked_base_url
from tidyllm.server.child import READY
from tidyllm.server.declared import UpstreamSettings, refuse_small_parts
from tidyllm.server.locks import hold
from tidyllm.server.places import make_folders, serve_lock
from tidyllm.server.process import Orders, Role, encode_orders, encode_upstreams
from tidyllm.server.settings import Settings
from tidyllm.server.stores.sql.migrate import migrate
from tidyllm.server.words import as_sentence, how_it_ended
from tidyllm.transport.keys import Keys

log = logging.getLogger(__name__)

BACKLOG = 1024
RESTART_DELAY_FIRST_S = 0.1
RESTART_DELAY_MAX_S = 5.0
LONG_LIFE_S = 30.0
"""A process that lived this long begins again with the shortest delay."""
UNREADY_DEATHS_MAX = 5
"""Processes of one place that may die in a row before they are ready; then something is wrong that a restart
will not cure."""
STOP_MARGIN_S = 5.0
"""Beyond the grace of requests in flight, how long a process may take to end before it is killed."""
_FIXED = [name for name in Settings.__struct_fields__ if not name.startswith("upstream")]
"""Settings that hold until a restart."""

CHILD = ("-P", "-m", "tidyllm.server.child")
"""What Python runs in each process. -P: a file in the user's folder must not stand in for a module."""


def run(
    settings: Settings,
    announce: Callable[[str], None],
    *,
    reload: Callable[[], Settings] | None = None,
    child: Sequence[str] = CHILD,
) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code. `announce` is told where, once everything is ready.

    At SIGHUP `reload` reads the settings again: of them the upstreams are taken over.
    """
    _refuse_open_address(settings.host)
    _check_upstreams(settings.upstreams)
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_folders(settings.data, LocalDisk())
        lock = hold(serve_lock(settings.data))
    except OSError as error:
        raise SettingError(f"The data folder cannot be used: {error}. Give another with --data.") from error
    if lock is None:
        raise SettingError(f"Another `tidyllm serve` is running on {settings.data}; stop it or give another --data.")
    # The folder may have been there before, open to others: what is kept in it is not for them.
    mask = os.umask(0o077)
    try:
        migrate(settings.data)
        with _listen(settings.host, settings.port) as listening:
            return asyncio.run(_Supervisor(settings, listening, announce=announce, reload=reload, child=child).run())
    finally:
        os.umask(mask)
        os.close(lock)


def _refuse_open_address(host: str) -> None:
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise SettingError(f"The host {host!r} is not an IP address; use 127.0.0.1 or ::1.") from error
    if not local:
        raise SettingError(
            f"The host {host} can be reached from other machines, and this server has no keys yet: use 127.0.0.1."
        )


def _check_upstreams(upstreams: Sequence[UpstreamSettings]) -> None:
    for upstream in upstreams:
        called = f"The upstream {upstream.name!r}"
        if not checked_base_url(upstream.base_url, called=called).endswith("/v1"):
            log.warning("%s, %s, does not end in /v1, as such base URLs do.", called, upstream.base_url)
        try:
            Keys().sign(upstream.auth)  # A key that no header can carry is told now.
        except SettingError as error:
            raise SettingError(f"The key of the upstream {upstream.name!r}, {upstream.key_env}: {error}") from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SettingError(f"Port {port} of {host} cannot be used: {error}. Choose another with --port.") from error
    listening.listen(BACKLOG)
    return listening


class _Supervisor:
    """Keeps one api, one clerk and the workers alive until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        listening: socket.socket,
        *,
        announce: Callable[[str], None],
        reload: Callable[[], Settings] | None,
        child: Sequence[str],
    ) -> None:
        self._settings = settings
        self._reload = reload
        self._child = child
        self._listening = listening
        self._announce = announce
        self._stop = asyncio.Event()
        workers = [(Role.WORKER, number) for number in range(settings.workers)]
        self._places = [(Role.API, 0), (Role.CLERK, 0), *workers]
        self._unready = len(self._places)
        self._exit_code = 0
        self._tellable: set[asyncio.subprocess.Process] = set()
        """Those that want to know of new upstreams."""
        self._terminals = [fd for fd in range(3) if os.isatty(fd)]

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for signaled in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signaled, self._stop.set)
        if self._reload is not None:
            loop.add_signal_handler(signal.SIGHUP, self._hear_hangup, self._reload)
        async with asyncio.TaskGroup() as tasks:
            for role, number in self._places:
                tasks.create_task(self._keep(role, number))
        return self._exit_code

    def _hear_hangup(self, reload: Callable[[], Settings]) -> None:
        """Read the upstreams again; or stop, if what the signal says is that the terminal has closed."""
        if not all(os.isatty(fd) for fd in self._terminals):
            self._stop.set()
            return
        try:
            fresh = reload()
            _check_upstreams(fresh.upstreams)
            refuse_small_parts(fresh.upstreams, workers=self._settings.workers, file="the settings file")
        except SettingError as error:
            log.error("The upstreams stay as they are. %s", error)  # noqa: TRY400 - it is told in full
            return
        if changed := [name for name in _FIXED if getattr(fresh, name) != getattr(self._settings, name)]:
            log.warning("Only upstreams change at once; restart the server to change %s.", ", ".join(changed))
        self._settings = msgspec.structs.replace(self._settings, upstreams=fresh.upstreams)
        for process in self._tellable:
            assert process.stdin is not None  # noqa: S101 - a pipe was asked for
            process.stdin.write(encode_upstreams(fresh.upstreams))

    async def _keep(self, role: Role, number: int) -> None:
        """Keep one process of a role alive, with a growing pause between lives that are short."""
        loop = asyncio.get_running_loop()
        delay = RESTART_DELAY_FIRST_S
        unready_deaths = 0
        first = True
        while not self._stop.is_set():
            begun = loop.time()
            try:
                process = await self._start(role, number)
            except OSError as error:  # No descriptor, no memory, no process left: it passes.
                log.error("The %s process cannot be started: %s", role.value, as_sentence(error))  # noqa: TRY400
                await self._stopped_within(RESTART_DELAY_MAX_S)
                continue
            ready = await self._live(process, first=first)
            self._tellable.discard(process)
            if self._stop.is_set():
                return
            first = first and not ready
            unready_deaths = 0 if ready else unready_deaths + 1
            if unready_deaths == UNREADY_DEATHS_MAX:
                log.error("The %s process died %d times before it was ready: stopping.", role.value, unready_deaths)
                self._exit_code = 1
                self._stop.set()
                return
            delay = RESTART_DELAY_FIRST_S if loop.time() - begun > LONG_LIFE_S else delay
            how = how_it_ended(process.returncode or 0)
            log.error("The %s process ended %s; another starts in %.1f s.", role.value, how, delay)
            await self._stopped_within(delay)
            delay = min(delay * 2, RESTART_DELAY_MAX_S)

    async def _start(self, role: Role, number: int) -> asyncio.subprocess.Process:
        # A socket that a slow worker still held would keep the port from the next `serve`: only the api gets it.
        fds = (self._listening.fileno(),) if role is Role.API else ()
        # A session of its own: Ctrl-C comes to this process alone, which then stops the others in good order.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._child),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=fds,
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        process.stdin.write(encode_orders(Orders(role=role, number=number, settings=self._settings, socket_fds=fds)))
        if role is not Role.API:
            self._tellable.add(process)
        return process

    async def _live(self, process: asyncio.subprocess.Process, *, first: bool) -> bool:
        """Wait for a process to end, or end it when the server stops; return whether it was ever ready."""
        ready = asyncio.create_task(self._when_ready(process, first=first))
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not ended.done():
            process.terminate()
            done, _ = await asyncio.wait((ended,), timeout=self._settings.cancel_grace_s + STOP_MARGIN_S)
            if not done:
                process.kill()
                await ended
        return await ready

    async def _when_ready(self, process: asyncio.subprocess.Process, *, first: bool) -> bool:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        if await process.stdout.readline() != READY:
            return False
        if first:
            self._unready -= 1
            if not self._unready:
                host, port = self._listening.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                self._announce(f"Serving http://{shown}:{port}/v1")
        return True

    async def _stopped_within(self, seconds: float) -> None:
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait((stopped,), timeout=seconds)
        stopped.cancel()
