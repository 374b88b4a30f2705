"""Every provider that has embeddings, by the exchanges in its folder, through the verb."""

import pytest

from tests.conformance.cases import PROVIDERS, Case, cases, facts
from tidyllm.client.calls import using
from tidyllm.client.embed import embed
from tidyllm.core.errors import TidyllmError
from tidyllm.provider import find_provider

EMBEDDING = [name for name in PROVIDERS if find_provider(name).embed is not None]
# Other exchanges wait for a provider that does not declare this yet.
CASES = [case for case in cases("embed") if case.provider in EMBEDDING]


@pytest.mark.parametrize("case", [case for case in CASES if case.note.vectors is not None], ids=str)
def test_each_text_has_its_vector(case: Case) -> None:
    texts = case.note.call.texts
    assert texts is not None
    with using(case.transport):
        table = embed(texts, case.model)
    assert table["input"].to_list() == texts
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
def test_there_is_an_exchange_for_embeddings(provider: str) -> None:
    assert "embed_plain" in {case.path.stem for case in CASES if case.provider == provider}
