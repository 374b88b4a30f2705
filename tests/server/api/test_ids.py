import re

from tidyllm.server.api.ids import new_batch_id, new_file_id


def test_ids_have_the_form_of_openai() -> None:
    assert re.fullmatch(r"file-[0-9A-Za-z]{24}", new_file_id())
    assert re.fullmatch(r"batch_[0-9a-f]{32}", new_batch_id())


def test_ids_are_new_every_time() -> None:
    assert len({new_file_id() for _ in range(1000)}) == 1000
    assert len({new_batch_id() for _ in range(1000)}) == 1000
