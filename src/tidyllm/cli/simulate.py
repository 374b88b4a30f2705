"""`tidyllm simulate`: the simulated model, until it is interrupted."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from tidyllm.testing import Counts

app = typer.Typer()


@app.command()
def simulate(  # noqa: PLR0913 - one option each
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    latency_ms: Annotated[float, typer.Option(help="Median time to an answer, in milliseconds.")] = 0.0,
    latency_shape: Annotated[Literal["fixed", "lognormal"], typer.Option(help="How latencies spread.")] = "fixed",
    capacity: Annotated[int, typer.Option(help="Requests worked on at the same time; 0 is no bound.")] = 0,
    over_capacity: Annotated[
        Literal["queue", "refuse"], typer.Option(help="Whether what comes beyond the capacity waits or gets a 429.")
    ] = "queue",
    rpm: Annotated[int, typer.Option(help="Requests let in per minute, 429 for what is beyond; 0 is no bound.")] = 0,
    key: Annotated[str, typer.Option(help="Key that requests must bear; empty lets all in.")] = "",
    errors: Annotated[float, typer.Option(help="Share of requests answered with 500.")] = 0.0,
    rate_limits: Annotated[float, typer.Option(help="Share of requests answered with 429.")] = 0.0,
    hangs: Annotated[float, typer.Option(help="Share of requests that are never answered.")] = 0.0,
    broken: Annotated[float, typer.Option(help="Share of requests answered with a broken body.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Another seed deals the faults out to other requests.")] = 0,
) -> None:
    """Serve a simulated model: fast, deterministic, and faulty on demand.

    It answers OpenAI's chat completions and embeddings, without keys unless told one and whatever the model's name.

    What it served is at /simulated/counts.
    """
    # Its libraries take long to load and are an extra that may not be installed: then this import says so.
    from tidyllm.testing import Behavior, LatencyShape, OverCapacity, run_simulated  # noqa: PLC0415 - for that reason

    behavior = Behavior(
        latency_ms=latency_ms,
        latency_shape=LatencyShape(latency_shape),
        capacity=capacity,
        over_capacity=OverCapacity(over_capacity),
        requests_per_minute=rpm,
        key=key,
        error_rate=errors,
        rate_limit_rate=rate_limits,
        hang_rate=hangs,
        broken_rate=broken,
        seed=seed,
    )
    counts = run_simulated(
        behavior, host=host, port=port, tell_url=lambda url: typer.echo(f"Simulated model at {url} (Ctrl-C stops it)")
    )
    typer.echo(_line(counts))


def _line(counts: "Counts") -> str:
    statuses = ", ".join(f"{status}: {number}" for status, number in counts.statuses.items())
    return (
        f"{counts.received} received, {counts.answered} answered ({statuses or 'none'}; {counts.broken} broken), "
        f"{counts.abandoned} abandoned, {counts.in_flight} in flight (at most {counts.in_flight_peak})"
    )
