"""The verb that lists a provider's models, with its async twin."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, overload

from tidyllm.client.calls import shown, transport_for
from tidyllm.client.capabilities import models_of
from tidyllm.client.preview import Preview, preview
from tidyllm.core.model_info import ModelInfo
from tidyllm.provider import Model, resolve_model
from tidyllm.transport.drive import adrive, drive

if TYPE_CHECKING:
    import polars as pl


@overload
def list_models(provider: Model | str, *, dry_run: Literal[False] = False) -> "pl.DataFrame": ...
@overload
def list_models(provider: Model | str, *, dry_run: Literal[True]) -> Preview: ...
def list_models(provider: Model | str, *, dry_run: bool = False) -> "pl.DataFrame | Preview":
    """Return the models that a provider offers to the key, as a table with one row each, in the provider's order.

        list_models(openai()).filter(pl.col("id").str.contains("gpt-6"))

    The columns are `provider`, `id`, `name`, `created_at`, `owned_by`, `context_tokens`, `output_tokens_max`,
    `capabilities` and `ends_at`; what the provider does not tell is null. With `dry_run` you get what would be sent.

    Raises SettingError for a provider that has no list; ApiError and its kin as the provider answers.
    """
    asked = resolve_model(provider)
    if dry_run:
        return preview(models_of(asked).models(shown(asked).site))
    return _frame(drive(models_of(asked).models(asked.site), transport_for(asked, lets_go=True)), asked)


@overload
async def alist_models(provider: Model | str, *, dry_run: Literal[False] = False) -> "pl.DataFrame": ...
@overload
async def alist_models(provider: Model | str, *, dry_run: Literal[True]) -> Preview: ...
async def alist_models(provider: Model | str, *, dry_run: bool = False) -> "pl.DataFrame | Preview":
    """Return what `list_models` does."""
    asked = resolve_model(provider)
    if dry_run:
        return preview(models_of(asked).models(shown(asked).site))
    return _frame(await adrive(models_of(asked).models(asked.site), transport_for(asked, lets_go=True)), asked)


def _frame(models: Sequence[ModelInfo], asked: Model) -> "pl.DataFrame":
    # Imported here, because it loads polars.
    from tidyllm.client.frame import models_frame  # noqa: PLC0415

    return models_frame(models, provider=asked.provider.name)
