"""Request bodies that are read from disk while they are sent."""

from pathlib import Path

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.core.wire import Multipart, Part
from tidyllm.transport.upload import CHUNK_BYTES, upload_of


def test_file_is_read_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(bytes(CHUNK_BYTES + 1))
    upload = upload_of(path)
    assert upload.length == CHUNK_BYTES + 1
    assert [len(chunk) for chunk in upload.chunks()] == [CHUNK_BYTES, 1]


def test_upload_can_be_sent_again(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"abc")
    upload = upload_of(tmp_path / "in")
    assert [b"".join(upload.chunks()) for _ in range(2)] == [b"abc", b"abc"]


def test_length_of_a_form_is_known(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"abc")
    parts = (Part(name="a", content=b"1"), Part(name="file", content=tmp_path / "in", filename="ü.jsonl"))
    upload = upload_of(Multipart(parts))
    assert upload.length == len(b"".join(upload.chunks()))


def test_name_cannot_break_out_of_its_header() -> None:
    name = 'a"\r\nx-evil: 1'
    upload = upload_of(
        Multipart((Part(name=name, content=b"", filename=name, content_type="text/plain\r\nx-evil: 1"),))
    )
    head = b"".join(upload.chunks())
    assert b"\r\nx-evil" not in head
    assert b'name="a%22%0D%0Ax-evil: 1"' in head


def test_file_that_grew_is_sent_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"abc")
    upload = upload_of(path)
    path.write_bytes(b"abcdef")
    assert b"".join(upload.chunks()) == b"abc"


def test_file_that_shrank_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"abc")
    upload = upload_of(path)
    path.write_bytes(b"a")
    with pytest.raises(OSError, match="became shorter"):
        list(upload.chunks())


def test_folder_is_no_body(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        upload_of(tmp_path)
