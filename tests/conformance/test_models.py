"""Every provider that lists its models, by the exchanges in its folder, through the verb."""

from datetime import datetime

import pytest

from tests.conformance.cases import PROVIDERS, Case, cases, facts
from tidyllm.client.calls import using
from tidyllm.client.models import list_models
from tidyllm.core.errors import TidyllmError
from tidyllm.provider import find_provider

LISTING = [name for name in PROVIDERS if find_provider(name).models is not None]
# Other exchanges wait for a provider that does not declare this yet.
CASES = [case for case in cases("list") if case.name.startswith("models") and case.provider in LISTING]


@pytest.mark.parametrize("case", [case for case in CASES if case.note.models is not None], ids=str)
def test_each_model_has_a_row_that_says_what_the_provider_says(case: Case) -> None:
    wanted = case.note.models
    assert wanted is not None
    with using(case.transport):
        rows = list_models(case.model).rows(named=True)
    assert len(rows) == len(wanted)
    told = [{name: row[name] for name in fields} for row, fields in zip(rows, wanted, strict=True)]
    assert [{name: _plain(value) for name, value in row.items()} for row in told] == wanted


@pytest.mark.parametrize("case", [case for case in CASES if case.note.error is not None], ids=str)
def test_an_error_is_the_exception_that_it_should_be(case: Case) -> None:
    wanted = case.note.error
    assert wanted is not None
    with using(case.transport), pytest.raises(TidyllmError) as caught:
        list_models(case.model)
    assert facts(caught.value, wanted) == wanted


@pytest.mark.parametrize("provider", LISTING)
def test_there_is_an_exchange_for_the_list_of_models(provider: str) -> None:
    assert "list_models" in {case.path.stem for case in CASES if case.provider == provider}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
