"""Starting and stopping the simulated model: inside a running loop, or in a thread of its own."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager

from tidyllm.core.errors import SettingError
from tidyllm.testing.behavior import Behavior
from tidyllm.testing.connection import Connection
from tidyllm.testing.model import SimulatedModel
from tidyllm.testing.witness import Counts
from tidyllm.transport.loops import new_loop

_BACKLOG = 4096
"""Connections the system holds for us until they are accepted; a batch's worker may open thousands at once."""
_PORT_MAX = 65535
_DEFAULT = Behavior()


@contextmanager
def simulated_model(
    behavior: Behavior = _DEFAULT, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[SimulatedModel]:
    """Run a simulated model in a thread, as long as the `with` block; port 0 takes a free one.

    Raises SettingError if it cannot listen there.

        with simulated_model(Behavior(error_rate=0.1)) as model:
            client = openai.OpenAI(base_url=model.base_url, api_key="any")
            ...
            model.witness.counts()
    """
    started: Future[tuple[SimulatedModel, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        async with serve_simulated(behavior, host=host, port=port) as model:
            stop = asyncio.Event()
            started.set_result((model, asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="simulated-model", daemon=True)
    thread.start()
    model, loop, stop = started.result()
    try:
        yield model
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@asynccontextmanager
async def serve_simulated(
    behavior: Behavior = _DEFAULT, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[SimulatedModel]:
    """Run a simulated model in the running loop, as long as the `async with` block; port 0 takes a free one.

    Raises SettingError if it cannot listen there.
    """
    loop = asyncio.get_running_loop()
    if not 0 <= port <= _PORT_MAX:
        raise SettingError(f"A port is a number from 0 to {_PORT_MAX}, which {port} is not.")
    connections: set[Connection] = set()
    model: SimulatedModel
    try:
        server = await loop.create_server(lambda: Connection(model.handle, connections), host, port, backlog=_BACKLOG)
    except OSError as error:
        raise SettingError(f"The simulated model cannot listen on {host}:{port}: {error}.") from error
    bound_port = server.sockets[0].getsockname()[1]
    model = SimulatedModel(behavior, root=f"http://{_bracketed(host)}:{bound_port}", loop=loop)
    try:
        yield model
    finally:
        server.close()
        # A connection that was just taken tells of itself in the loop's next turn, and would outlive the loop.
        await asyncio.sleep(0)
        await asyncio.gather(*[connection.abort() for connection in connections])
        await server.wait_closed()


def run_simulated(behavior: Behavior = _DEFAULT, *, host: str, port: int, tell_url: Callable[[str], None]) -> Counts:
    """Run a simulated model in this thread, the main one, until SIGINT or SIGTERM; return what it served.

    `tell_url` is called with its base URL once it listens. Raises SettingError if it cannot.
    """

    async def serve() -> Counts:
        async with serve_simulated(behavior, host=host, port=port) as model:
            with _stop_signals() as stop:
                tell_url(model.base_url)
                await stop.wait()
            return model.witness.counts()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(serve())


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """Give an event that SIGINT and SIGTERM set, instead of what else they do."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    # The loop's own way to handle signals does not exist on Windows.
    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
