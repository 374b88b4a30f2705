"""Which batches a verb is about: those of a job, by value or name, or one of a provider's, by its id."""

import msgspec

from tidyllm.client.calls import first_request
from tidyllm.client.jobs import Job, JobFolder, OpenJob, Remote, batch_ids, find_job, model_of
from tidyllm.core.errors import JobError, JobNotFoundError, SettingError
from tidyllm.core.limits import BatchLimits
from tidyllm.dialect import (
    BatchCancelDialect,
    BatchDeleteDialect,
    BatchDialect,
    BatchOrder,
    ChatDialect,
    EmbedDialect,
    FilesDialect,
    ModelsDialect,
)
from tidyllm.provider import Model, find_provider, provider_names, resolve_model

_INPUT = "input"
"""The field of a request for vectors that has the texts."""


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
    job whose batch was never created; SettingError for what can be no job, and for a provider that the job was not
    sent to.
    """
    _refuse_no_job(job)
    given = None if provider is None else resolve_model(provider)
    asked = None if given is None else given.provider.name
    folder = JobFolder(job.folder) if isinstance(job, Job) else find_job(job, provider=asked)
    if folder is not None:
        return _of_job(folder, given, sent_to=job.model if isinstance(job, Job) else None)
    if given is None:
        raise JobNotFoundError(
            f"There is no job {job!r} here. For a batch that was sent from elsewhere, give its id and provider=.",
            name=str(job),
        )
    return Target(name=str(job), model=given, folder=None, batch_ids=(str(job),))


def _refuse_no_job(given: object) -> None:
    """Raise SettingError for what is neither a job nor a word that can be its name or a batch's id."""
    if isinstance(given, Job):
        return
    if not isinstance(given, str):
        raise SettingError(
            "A job is wanted: what send_batch returned, its name, or with provider= the provider's id of a batch; "
            f"not {type(given).__name__}."
        )
    if not given or any(map(str.isspace, given)):
        raise SettingError(f"{given!r} is no job's name and no batch's id: these are not empty and have no blanks.")


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


def order_of(job: OpenJob, remote: Remote, *, input_file_id: str | None = None) -> BatchOrder:
    """Return what one batch of a job is made of, with the token by which it can be found again."""
    model, embeds = job.model, job.record.embeds is not None
    return BatchOrder(
        name=job.record.name,
        token=remote.token,
        model=embed_name_of(model) if embeds else name_of(model),
        path=batch_embed_path_of(model) if embeds else batch_chat_of(model).path,
        requests=job.folder.path / remote.file,
        input_file_id=input_file_id,
        shared=shared_body(model) if embeds else {},
    )


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


def shared_body(model: Model) -> dict[str, object]:
    """Return what the bodies of all requests for vectors say alike, that is all but their texts."""
    request = first_request(embed_of(model).embed(model.site, ["?"], model=embed_name_of(model), params=model.params))
    assert isinstance(request.body, bytes)  # noqa: S101 - no dialect uploads texts
    body: dict[str, object] = msgspec.json.decode(request.body)
    return {name: value for name, value in body.items() if name != _INPUT}


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


def _of_job(folder: JobFolder, given: Model | None, *, sent_to: Model | None) -> Target:
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
    if not known:
        raise JobError(
            f"The job {folder.name!r} was not sent to its end: give the same rows to send_batch again, under the same "
            "name. What the provider has already is found and not sent twice.",
            name=folder.name,
        )
    sent_to = sent_to or model_of(record)
    # One that is given is given for its key, as a rule: what was asked, where, and how, the job knows best.
    if given is not None:
        sent_to = msgspec.structs.replace(
            sent_to,
            base_url=sent_to.base_url if _is_usual(given) else given.base_url,
            headers=given.headers,
            key=given.key,
            timeout_s=given.timeout_s,
        )
    return Target(name=folder.name, model=sent_to, folder=folder, batch_ids=known)


def _is_usual(given: Model) -> bool:
    """Whether a model's address is what its provider has where none is said: then it is none that was meant."""
    try:
        return given.base_url == given.provider().base_url
    except SettingError:
        # The provider has no usual one: whoever gives a model has said where it is.
        return False


def _who_has(capability: str) -> str:
    """Return the providers that have something, for a person who needs one."""
    having = [name for name in provider_names() if getattr(find_provider(name), capability) is not None]
    return ", ".join(f"{name}()" for name in having)
