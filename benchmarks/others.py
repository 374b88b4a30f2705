"""How many lines a second other batch servers answer, upload to completed, beside ours, when the model costs no time.

None of them is needed here. Each is installed into a virtual environment of its own, and measured when its Python is
named; what is not named is left out:

    pip install "litellm[proxy]"    OTHERS_LITELLM=/path/to/python
    pip install ogx                 OTHERS_OGX=/path/to/python        (Python 3.12 or newer)
    pip install aibrix              OTHERS_AIBRIX=/path/to/python

All keep their own defaults, get the same file over HTTP, and take turns. Of LiteLLM only what runs a batch is measured,
behind a small server that keeps everything in memory: its proxy would need PostgreSQL, and Prisma's query engine, which
is not on PyPI. AIBrix is measured without Kubernetes, as it allows: its metadata service on local files, with one fixed
model in place of one that it would start itself. OGX runs with its SQLite and local files.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.report import Figure, Plot, Report, given, tell
from benchmarks.rig import CHAT, ENDED, MODEL, POLL_S, Server, requests, serving, simulated, workshop, written

LINES = 2_000
ROUNDS = 3
START_S_MAX = 60.0
OURS = "tidyllm serve"

LITELLM = """
import os, sys
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # The newest one would be fetched from the web.
from types import SimpleNamespace
import uvicorn
from fastapi import FastAPI, Response, UploadFile
from litellm import Router
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.batches_endpoints.litellm_executed_batches import LiteLLMExecutedBatchRunner

url, port, model = sys.argv[1:]

class Memory:
    files, batches = {}, {}
    def keep(self, content):
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return SimpleNamespace(id=name)
    async def download_file(self, name): return self.files[name]
    async def upload(self, *, file_data, **_): return self.keep(file_data["content"])
    async def get_unified_file_id(self, name, **_): return SimpleNamespace(storage_backend="memory", storage_url=name)
    def get_unified_batch_id(self, batch_id, model_id): return batch_id
    async def store_unified_object_id(self, *, file_object, **_): self.batches[file_object.id] = file_object
    async def load_batch(self, name): return self.batches[name]
    async def load_status(self, name): return self.batches[name].status
    async def touch(self, *_): pass
    async def compare_and_set(self, batch, *_):
        self.batches[batch.id] = batch
        return True

memory, app = Memory(), FastAPI()
upstream = {"model": f"hosted_vllm/{model}", "api_base": url, "api_key": "none"}
runner = LiteLLMExecutedBatchRunner(
    Router(model_list=[{"model_name": model, "litellm_params": upstream}]), None, memory, memory, None, {},
    storage_backend_factory=lambda *_, **__: memory, upload_result_file=memory.upload)

@app.post("/v1/files")
async def upload(file: UploadFile): return memory.keep(await file.read())
@app.post("/v1/batches")
async def create(request: dict):
    return await runner.create(request, request["input_file_id"], model, "hosted_vllm", UserAPIKeyAuth(), None)
@app.get("/v1/batches/{name}")
async def batch(name: str): return memory.batches[name]
@app.get("/v1/files/{name}/content")
async def content(name: str): return Response(memory.files[name])

uvicorn.run(app, host="127.0.0.1", port=int(port), access_log=False)
"""

AIBRIX = """
import os, sys
url, port, folder = sys.argv[1:]
url = url.removesuffix("/v1")  # The whole path of each line is added to it.
os.environ.update(STORAGE_TYPE="local", METASTORE_TYPE="local", STORAGE_LOCAL_PATH=folder)
import uvicorn
from aibrix.batch import BatchDriver
from aibrix.batch.client import GatewayEndpointSource
from aibrix.batch.state import JobStore
from aibrix.metadata.app import build_app, build_app_args
from aibrix.metadata.setting import settings

app = build_app(build_app_args())
app.state.batch_driver = BatchDriver(
    app.state.infrastructure_context, job_entity_manager=JobStore(), storage_type=settings.STORAGE_TYPE,
    metastore_type=settings.METASTORE_TYPE, endpoint_source=GatewayEndpointSource(url))
uvicorn.run(app, host="127.0.0.1", port=int(port), access_log=False)
"""


def ogx_arguments(folder: Path, url: str, port: int) -> list[str]:
    """Write the configuration that OGX wants, and return how to run it."""
    stores = {name: {"backend": "sql_default", "table_name": name} for name in ("files", "batches", "conversations")}
    files = {"storage_dir": str(folder / "files"), "metadata_store": stores["files"]}
    providers = {
        "inference": ("remote::vllm", {"base_url": url}),
        "files": ("inline::localfs", files),
        "batches": ("inline::reference", {"sqlstore": stores["batches"]}),
    }
    databases = {name: {"type": name, "db_path": str(folder / f"{name}.db")} for name in ("kv_sqlite", "sql_sqlite")}
    config = {
        "version": 2,
        "distro_name": "batches",
        "apis": list(providers),
        "providers": {
            api: [{"provider_id": api, "provider_type": kind, "config": settings}]
            for api, (kind, settings) in providers.items()
        },
        "storage": {
            "backends": {"kv_default": databases["kv_sqlite"], "sql_default": databases["sql_sqlite"]},
            "stores": {
                "metadata": {"namespace": "registry", "backend": "kv_default"},
                "conversations": stores["conversations"],
            },
        },
        # A model of this provider under its own name, without the provider's name before it.
        "registered_resources": {"models": [{"model_id": MODEL, "provider_id": "all", "provider_model_id": "auto"}]},
        "server": {"port": port, "host": "127.0.0.1"},
    }
    path = folder / "config.yaml"
    path.write_bytes(msgspec.json.encode(config))  # JSON is YAML too.
    return ["-m", "ogx.cli.ogx", "stack", "run", str(path), "--insecure"]


class Other(msgspec.Struct, frozen=True):
    """A batch server that is not ours."""

    name: str
    package: str
    arguments: Callable[[Path, str, int], list[str]]
    """What its Python is given to serve on a port, in front of the model at this base URL."""

    @property
    def variable(self) -> str:
        """The environment variable that names its Python."""
        return f"OTHERS_{self.package.upper()}"


OTHERS = (
    Other("LiteLLM's runner", "litellm", lambda _folder, url, port: ["-c", LITELLM, url, str(port), MODEL]),
    Other("OGX", "ogx", ogx_arguments),
    Other("AIBrix", "aibrix", lambda folder, url, port: ["-c", AIBRIX, url, str(port), str(folder)]),
)


@contextmanager
def running(other: Other, python: str, *, folder: Path, model: str) -> Iterator[Server]:
    """Run another server until the block ends."""
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = folder / "log"
    command = [python, *other.arguments(folder, model, port)]
    with log.open("wb") as told, subprocess.Popen(command, stdout=told, stderr=told) as process:
        try:
            patience = time.monotonic() + START_S_MAX
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > patience:
                    raise SystemExit(f"{other.name} did not start:\n{log.read_text()[-2000:]}")
                time.sleep(POLL_S)
            yield Server(f"http://127.0.0.1:{port}", pid=process.pid, data=folder)
        finally:
            process.kill()  # Nobody will miss what it has not written yet.


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def through(server: Server, lines: Path) -> tuple[float, int]:
    """Return the seconds from the begin of the upload to completed, and how many results are right."""
    began = time.monotonic()
    wanted = {"input_file_id": server.upload(lines), "endpoint": CHAT, "completion_window": "24h"}
    headers = {"content-type": "application/json"}
    answer = server.http.ask("POST", "/v1/batches", body=msgspec.json.encode(wanted), headers=headers)
    while (batch := msgspec.json.decode(answer))["status"] != "completed":
        if batch["status"] in ENDED:
            raise SystemExit(f"The batch at {server.url} has ended otherwise: {answer[:1000]!r}")
        time.sleep(POLL_S)
        answer = server.http.ask("GET", f"/v1/batches/{batch['id']}")
    seconds = time.monotonic() - began
    output = b"".join(server.http.pieces(f"/v1/files/{batch['output_file_id']}/content"))
    return seconds, right(lines, output)


def right(lines: Path, output: bytes) -> int:
    """Return how many lines have the simulated model's answer to their own question."""
    results = {msgspec.json.decode(result)["custom_id"]: result for result in output.splitlines()}
    asked = map(msgspec.json.decode, lines.read_bytes().splitlines())
    return sum(
        f"Simulated answer to: {line['body']['messages'][0]['content']}".encode() in results.get(line["custom_id"], b"")
        for line in asked
    )


def version(python: str, package: str) -> str:
    """Return which version of a package that Python has."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Measure all that are named in turn, and tell."""
    asked = given("others", about=__doc__)
    count = asked.size(LINES)
    named = {other: python for other in OTHERS if (python := os.environ.get(other.variable))}
    with workshop() as folder, simulated(folder) as url, ExitStack() as stack:
        lines = written(folder / "in.jsonl", requests(count))
        servers = {OURS: stack.enter_context(serving(folder, url))}
        for other, python in named.items():
            running_other = running(other, python, folder=folder / other.package, model=url)
            servers[f"{other.name} {version(python, other.package)}"] = stack.enter_context(running_other)
        found: dict[str, list[tuple[float, int]]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, server in servers.items():
                found[name].append(through(server, lines))
    seconds = {name: median(one[0] for one in rounds) for name, rounds in found.items()}
    figures = []
    for name, rounds in found.items():
        ours = name == OURS
        speed, ratio = count / seconds[name], seconds[OURS] / seconds[name]
        figures.append(Figure(name=f"{name} (floor)" if ours else name, value=speed, unit="lines/s", ratio=ratio))
        good = Figure(name=f"{name}: right results", value=min(one[1] for one in rounds), unit="lines")
        figures.append(msgspec.structs.replace(good, at_least=count) if ours else good)
    left_out = [f"Left out: {other.name}; {other.variable} names no Python." for other in OTHERS if other not in named]
    curves = {name: [(0.0, 0.0), (seconds[name], float(count))] for name in servers}
    title = f"others: {count:,} chat lines, no latency, median of {ROUNDS} rounds"
    plot = Plot(x="seconds since the upload began", y="lines completed", curves=curves)
    return tell(Report(name="others", title=title, figures=figures, plot=plot, notes=left_out), asked)


if __name__ == "__main__":
    sys.exit(main())
