"""Which batches a verb is about: those of a job, by value or name, or one of a provider's, by its id."""

import msgspec

from tidyllm.client.jobs import Job, JobFolder, batch_ids, find_job, model_of
from tidyllm.core.errors import JobError, JobNotFoundError, SettingError
from tidyllm.dialect import BatchDialect, ChatDialect, EmbedDialect, FilesDialect, ModelsDialect
from tidyllm.provider import Model, resolve_model


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Batches, and whom to ask about them."""

    name: str
    """The job's, or the batch's id."""
    model: Model
    folder: JobFolder | None
    """Null for a batch that no job on this machine knows."""
    batch_ids: tuple[str, ...]


def find_target(job: Job | str, provider: Model | str | None) -> Target:
    """Return the batches that are meant.

    Raises JobNotFoundError for a name or id that is unknown here, where no provider is given to ask; JobError for a
    job whose batch was never created; SettingError for a provider that the job was not sent to.
    """
    given = None if provider is None else resolve_model(provider)
    asked = None if given is None else given.provider.name
    folder = JobFolder(job.folder) if isinstance(job, Job) else find_job(job, provider=asked)
    if folder is not None:
        known = job.model if isinstance(job, Job) else None
        return _of_job(folder, given or known)
    if given is None:
        raise JobNotFoundError(
            f"There is no job {job!r} here. For a batch that was sent from elsewhere, give its id and provider=.",
            name=str(job),
        )
    return Target(name=str(job), model=given, folder=None, batch_ids=(str(job),))


def batches_of(model: Model) -> BatchDialect:
    """Return how the provider speaks of batches. Raises SettingError where it has none."""
    if model.provider.batch is None:
        raise SettingError(f"{model.provider.name} has no Batch API; local(), our own server, has one for it.")
    return model.provider.batch


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


def batch_chat_of(model: Model) -> ChatDialect:
    """Return what the lines of the provider's batches speak. Raises SettingError where that is not what was asked."""
    chat = model.provider.batch_chat or chat_of(model)
    if model.api not in (None, chat.api):
        raise SettingError(f"Batches of {model.provider.name} speak {chat.api}: leave api= out, or say so.")
    return chat


def embed_of(model: Model) -> EmbedDialect:
    """Return how the provider makes embeddings. Raises SettingError where it makes none."""
    if model.provider.embed is None:
        raise SettingError(f"{model.provider.name} has no embeddings; openai(), mistral() and voyage() have.")
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


def _named(model: Model, name: str | None) -> str:
    if name is None:
        provider = model.provider.name
        raise SettingError(f'{provider} has no model of its own choice: name one, {provider}("…").')
    return name


def _of_job(folder: JobFolder, given: Model | None) -> Target:
    record = folder.read()
    if given is not None and given.provider.name != record.provider:
        raise SettingError(f"The job {folder.name!r} was sent to {record.provider}, not to {given.provider.name}.")
    if not record.remotes:
        raise JobError(
            f"The job {folder.name!r} is no batch but a run of chat: call chat again with the same rows and this name; "
            "what was answered comes from the disk.",
            name=folder.name,
        )
    known = batch_ids(record)
    if len(known) < len(record.remotes):
        raise JobError(
            f"The job {folder.name!r} was not sent to its end: give the same rows to send_batch again, under the same "
            "name. What the provider has already is found and not sent twice.",
            name=folder.name,
        )
    return Target(name=folder.name, model=given or model_of(record), folder=folder, batch_ids=known)
