"""What providers have said of their limits: the verb `rate_limit_info`."""

from typing import TYPE_CHECKING

from tidyllm.client.calls import current_transport
from tidyllm.provider import Model, resolve_model

if TYPE_CHECKING:
    import polars as pl


def rate_limit_info(provider: Model | str | None = None) -> "pl.DataFrame":
    """Return a table of what the providers' last answers said of their limits, one row a provider and model.

    Columns: provider, model, base_url, told_at; requests_limit, requests_remaining, requests_reset_at and the same for
    tokens; null is what a provider does not tell. Limits are of a minute or of a day, as the provider has it. Nothing
    is sent: a provider that was not asked yet in this process, or that tells nothing, has no row. With `provider`, only
    its rows, and of a model only its own.

    Raises SettingError for a provider that there is not.
    """
    # Imported here, because it loads polars.
    from tidyllm.client.tables import limits_frame  # noqa: PLC0415

    told = current_transport().pace.seen
    if provider is not None:
        asked = resolve_model(provider)
        told = {lane: seen for lane, seen in told.items() if lane.provider == asked.provider.name}
        if asked.name is not None:
            told = {lane: seen for lane, seen in told.items() if lane.model == asked.name}
    return limits_frame(told)
