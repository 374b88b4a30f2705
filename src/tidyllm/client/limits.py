"""What providers have said of their limits: the verb `rate_limit_info`."""

from typing import TYPE_CHECKING

from tidyllm.client.calls import current_transport

if TYPE_CHECKING:
    import polars as pl


def rate_limit_info(provider: str | None = None) -> "pl.DataFrame":
    """Return a table of what the providers' last answers said of their limits, one row a provider and model.

    Columns: provider, model, told_at; requests_limit, requests_remaining, requests_reset_at and the same for tokens;
    null is what a provider does not tell. Limits are of a minute or of a day, as the provider has it. Nothing is sent:
    a provider that was not asked yet in this process, or that tells nothing, has no row. With `provider`, the name of
    one, only its rows.
    """
    # Imported here, because it loads polars.
    from tidyllm.client.tables import limits_frame  # noqa: PLC0415

    told = [(*lane.partition("/")[::2], seen) for lane, seen in current_transport().pace.seen.items()]
    return limits_frame((name, model, seen) for name, model, seen in told if provider in (None, name))
