"""Every provider that has embeddings, by the exchanges in its folder, through the verb."""

import re

import pytest

from tests.conformance.cases import PROVIDERS, Case, cases, facts, made
from tidyllm.client.calls import using
from tidyllm.client.embed import embed
from tidyllm.core.errors import SettingError, TidyllmError
from tidyllm.core.media import Media
from tidyllm.dialects.embedding import WHO, check_inputs
from tidyllm.provider import find_provider
from tidyllm.testing import play

EMBEDDING = [name for name in PROVIDERS if find_provider(name).embed is not None]
# Other exchanges wait for a provider that does not declare this yet.
CASES = [case for case in cases("embed") if case.provider in EMBEDDING]


@pytest.mark.parametrize("case", [case for case in CASES if case.note.vectors is not None], ids=str)
def test_each_text_and_each_image_has_its_vector(case: Case) -> None:
    texts, media = case.note.call.texts or [], case.note.call.media
    inputs: list[str | Media] = [*texts, *media]
    with using(case.transport):
        table = embed(inputs, case.model)
    assert table["input"].to_list() == [*texts, *(medium.url or medium.name for medium in media)]
    assert table["embeddings"].to_list() == case.note.vectors


@pytest.mark.parametrize("case", [case for case in CASES if case.note.error is not None], ids=str)
def test_an_error_is_the_exception_that_it_should_be(case: Case) -> None:
    wanted, texts = case.note.error, case.note.call.texts
    assert wanted is not None
    assert texts is not None
    with using(case.transport), pytest.raises(TidyllmError) as caught:
        embed(texts, case.model)
    assert facts(caught.value, wanted) == wanted


@pytest.mark.parametrize("provider", EMBEDDING)
def test_there_is_an_exchange_with_an_image_where_those_are_taken(provider: str) -> None:
    dialect = find_provider(provider).embed
    assert dialect is not None
    sent = [medium for case in CASES if case.provider == provider for medium in case.note.call.media]
    assert bool(sent) == bool(dialect.media.as_bytes)


@pytest.mark.parametrize("provider", re.findall(r"(\w+)\(", WHO[0][1]))
def test_who_is_said_to_make_vectors_of_images_does(provider: str) -> None:
    named = re.search(rf'{provider}\("([^"]+)"\)', WHO[0][1])
    dialect = find_provider(provider).embed
    assert dialect is not None
    image = Media(mime_type="image/png", data=b"x")
    check_inputs(["a", image], dialect.media, model="any" if named is None else named[1])


@pytest.mark.parametrize("provider", [name for name in EMBEDDING if name != "openrouter"])  # Its names do not tell.
def test_a_model_that_takes_text_alone_refuses_an_image_and_says_who_does(provider: str) -> None:
    model = made(provider, find_provider(provider).embed_model or "m")
    with (
        using(play()),
        pytest.raises(SettingError, match=r"takes no image/png.* It takes text alone. These do: voyage"),
    ):
        embed(Media(mime_type="image/png", data=b"x"), model)


@pytest.mark.parametrize("provider", EMBEDDING)
def test_there_is_an_exchange_for_embeddings(provider: str) -> None:
    assert "embed_plain" in {case.path.stem for case in CASES if case.provider == provider}
