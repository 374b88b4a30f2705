"""What a user may ask of a model's answer."""

import msgspec

from tidyllm.core.params import Params


def test_what_was_not_asked_is_not_written_down() -> None:
    # Jobs are known by what is written down: a parameter that is added one day must not change the old ones.
    assert msgspec.json.encode(Params()) == b"{}"
    assert msgspec.json.encode(Params(temperature=0.0)) == b'{"temperature":0.0}'
