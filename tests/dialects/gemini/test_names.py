"""What models are called."""

import pytest

from tidyllm.dialects.gemini.names import bare, resource, url_path


@pytest.mark.parametrize(
    ("given", "name", "full", "path"),
    [
        ("gemini-3.8-flash", "gemini-3.8-flash", "models/gemini-3.8-flash", "/models/gemini-3.8-flash"),
        ("models/gemini-3.8-flash", "gemini-3.8-flash", "models/gemini-3.8-flash", "/models/gemini-3.8-flash"),
        ("tunedModels/mine", "tunedModels/mine", "tunedModels/mine", "/tunedModels/mine"),
        ("../files/a?b:c", "../files/a?b:c", "models/../files/a?b:c", "/models/..%2Ffiles%2Fa%3Fb%3Ac"),
    ],
)
def test_a_model_is_found_however_it_is_named(given: str, name: str, full: str, path: str) -> None:
    assert (bare(given), resource(given), url_path(given)) == (name, full, path)
