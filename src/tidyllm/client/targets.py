"""Which batches a verb is about: those of a job, by value or name, or one of a provider's, by its id."""

import msgspec

from tidyllm.client.jobs import Job, JobFolder, batch_ids, find_job, model_of
from tidyllm.core.errors import JobError, JobNotFoundError, SettingError
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
