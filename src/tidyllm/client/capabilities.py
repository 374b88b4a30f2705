"""What a provider can do, and which of its models does it; an error that says so where it cannot."""

from tidyllm.core.errors import SettingError
from tidyllm.core.limits import BatchLimits
from tidyllm.dialect import (
    BatchCancelDialect,
    BatchDeleteDialect,
    BatchDialect,
    ChatDialect,
    EmbedDialect,
    FilesDialect,
    ModelsDialect,
)
from tidyllm.provider import Model, find_provider, provider_names


def batches_of(model: Model) -> BatchDialect:
    """Return how the provider speaks of batches. Raises SettingError where it has none."""
    if model.provider.batch is None:
        raise SettingError(f"{model.provider.name} has no Batch API; local(), our own server, has one for it.")
    return model.provider.batch


def cancels_of(model: Model) -> BatchCancelDialect:
    """Return how the provider ends a batch early. Raises SettingError where it does not."""
    batches_of(model)
    if model.provider.batch_cancel is None:
        raise SettingError(f"{model.provider.name} does not end a batch early; {_who_has('batch_cancel')} do.")
    return model.provider.batch_cancel


def deletes_of(model: Model) -> BatchDeleteDialect:
    """Return how the provider forgets a batch. Raises SettingError where it does not."""
    batches_of(model)
    if model.provider.batch_delete is None:
        raise SettingError(f"{model.provider.name} keeps its batches; {_who_has('batch_delete')} can delete them.")
    return model.provider.batch_delete


def limits_of(model: Model) -> BatchLimits:
    """Return how large a batch of the provider may be."""
    limits = model.provider.batch_limits
    assert limits is not None  # noqa: S101 - whoever declares batches declares these; tests/providers holds it
    return limits


def batch_chat_of(model: Model) -> ChatDialect:
    """Return what the requests of the provider's batches speak. Raises SettingError where that is not what is asked."""
    batches_of(model)
    speaks = {chat.api: chat for chat in model.provider.batch_chats}
    if not speaks:
        raise SettingError(f"Batches of {model.provider.name} are for embeddings alone: say embed=, not prompt=.")
    if model.api is None:
        return next(iter(speaks.values()))
    if model.api not in speaks:
        raise SettingError(f"Batches of {model.provider.name} speak {', '.join(speaks)}, not {model.api}.")
    return speaks[model.api]


def batch_embed_path_of(model: Model) -> str:
    """Return the provider's endpoint for embeddings in batches. Raises SettingError where these take none."""
    batches_of(model)
    if model.provider.batch_embed_path is None:
        raise SettingError(
            f"Batches of {model.provider.name} make no embeddings; {_who_has('batch_embed_path')} have that."
        )
    return model.provider.batch_embed_path


def files_of(model: Model) -> FilesDialect:
    """Return how the provider speaks of files. Raises SettingError where it has none."""
    if model.provider.files is None:
        raise SettingError(f"{model.provider.name} has no Files API.")
    return model.provider.files


def chat_of(model: Model) -> ChatDialect:
    """Return how the provider speaks of chat. Raises SettingError where it has none."""
    if model.chat is None:
        raise SettingError(f"{model.provider.name} has no chat.")
    return model.chat


def embed_of(model: Model) -> EmbedDialect:
    """Return how the provider makes embeddings. Raises SettingError where it makes none."""
    if model.provider.embed is None:
        raise SettingError(f"{model.provider.name} has no embeddings; {_who_has('embed')} have.")
    return model.provider.embed


def models_of(model: Model) -> ModelsDialect:
    """Return how the provider lists its models. Raises SettingError where it does not."""
    if model.provider.models is None:
        raise SettingError(f"{model.provider.name} has no list of models; its documentation: {model.provider.docs}.")
    return model.provider.models


def name_of(model: Model) -> str:
    """Return which of the provider's models chats. Raises SettingError where none was named and none is usual."""
    return _named(model, model.chat_name)


def embed_name_of(model: Model) -> str:
    """Return which of the provider's models makes embeddings; as `name_of`."""
    return _named(model, model.name or model.provider.embed_model)


def asked_name_of(model: Model, *, embeds: bool) -> str:
    """Return which of the provider's models a batch asks; as `name_of`."""
    return embed_name_of(model) if embeds else name_of(model)


def _named(model: Model, name: str | None) -> str:
    if name is None:
        provider = model.provider.name
        raise SettingError(f'{provider} has no model of its own choice: name one, {provider}("…").')
    return name


def _who_has(capability: str) -> str:
    """Return the providers that have something, for a person who needs one."""
    having = [name for name in provider_names() if getattr(find_provider(name), capability) is not None]
    return ", ".join(f"{name}()" for name in having)
