"""A dry run of every verb, with every provider: it shows what would be sent, sends nothing, and shows no secret."""

import asyncio
from pathlib import Path

import pytest

import tidyllm as tl
from tests.conformance.cases import PROVIDERS, made
from tidyllm.core.wire import Request, Response
from tidyllm.provider import Model, find_provider

SECRETS = ("sk-secret", "header-secret", "env-secret")


class Nobody:
    """A network that must not be used."""

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        raise AssertionError(f"{request.url} was asked, with {headers}.")


def model_of(provider: str, name: str | None) -> Model:
    return made(provider, name or "some-model", api_key="sk-secret", headers={"x-token": "header-secret"})


def check(shown: object) -> None:
    assert isinstance(shown, tl.Preview)
    assert shown.url.startswith("http")
    told = repr(shown) + str(shown)
    assert not [secret for secret in SECRETS if secret in told]
    assert ("x-token", "…") in shown.headers


@pytest.fixture(autouse=True)
def env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIDYLLM_HOME", str(tmp_path))
    for name in PROVIDERS:
        monkeypatch.setenv(find_provider(name).auth.env, "env-secret")


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if find_provider(name).chat])
def test_chat_and_stream(provider: str) -> None:
    model = model_of(provider, find_provider(provider).chat_model)
    with tl.using(Nobody()):
        check(tl.chat("Hi", model, dry_run=True))
        check(tl.chat([tl.llm_message("Hi", system="Be brief.")], model, dry_run=True)[0])
        check(asyncio.run(tl.achat("Hi", model, dry_run=True)))
        check(tl.stream("Hi", model, dry_run=True))
        check(tl.astream("Hi", model, dry_run=True))


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if find_provider(name).embed])
def test_embeddings(provider: str) -> None:
    model = model_of(provider, find_provider(provider).embed_model)
    with tl.using(Nobody()):
        check(tl.embed("a cat", model, dry_run=True))
        check(tl.embed(["a cat"], model, dry_run=True)[0])
        check(asyncio.run(tl.aembed("a cat", model, dry_run=True)))


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if find_provider(name).models])
def test_lists_of_models(provider: str) -> None:
    model = model_of(provider, None)
    with tl.using(Nobody()):
        check(tl.list_models(model, dry_run=True))
        check(asyncio.run(tl.alist_models(model, dry_run=True)))


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if find_provider(name).batch])
def test_batches(provider: str) -> None:
    declared = find_provider(provider)
    model = model_of(provider, declared.chat_model)
    cancels, deletes = declared.batch_cancel is not None, declared.batch_delete is not None

    async def main() -> None:
        check(await tl.alist_batches(model, dry_run=True))
        for shown in (
            *await tl.acheck_batch("batch_1", model, dry_run=True),
            *await tl.await_batch("batch_1", model, dry_run=True),
            *await tl.afetch_batch("batch_1", model, dry_run=True),
            *(await tl.acancel_batch("batch_1", model, dry_run=True) if cancels else ()),
            *(await tl.adelete_batch("batch_1", model, dry_run=True) if deletes else ()),
        ):
            check(shown)

    with tl.using(Nobody()):
        check(tl.list_batches(model, dry_run=True))
        for shown in (
            *tl.check_batch("batch_1", model, dry_run=True),
            *tl.wait_batch("batch_1", model, dry_run=True),
            *tl.fetch_batch("batch_1", model, dry_run=True),
            *(tl.cancel_batch("batch_1", model, dry_run=True) if cancels else ()),
            *(tl.delete_batch("batch_1", model, dry_run=True) if deletes else ()),
        ):
            check(shown)
        asyncio.run(main())
        if declared.batch_chats:
            plans = [
                tl.send_batch(["Hi"], model, dry_run=True),
                asyncio.run(tl.asend_batch(["Hi"], model, dry_run=True)),
            ]
        else:
            plans = [tl.send_batch(["Hi"], model_of(provider, None), embed="prompt", dry_run=True)]
    assert not [secret for secret in SECRETS if secret in repr(plans)]
