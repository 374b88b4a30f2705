import itertools
from collections.abc import Iterable

import pytest

from tidyllm.server.api.errors import RefusedError
from tidyllm.server.api.form import FIELD_BYTES_MAX, FormReader, UploadForm
from tidyllm.server.settings import Settings

KIND = "multipart/form-data; boundary=cut"
DISPOSITION = b'Content-Disposition: form-data; name="'


def field(name: str, value: str) -> bytes:
    return DISPOSITION + f'{name}"\r\n\r\n{value}\r\n'.encode()


def file(content: bytes = b"{}\n", *, head: bytes = b'file"; filename="jobs.jsonl"') -> bytes:
    return DISPOSITION + head + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(b"--cut\r\n" + part for part in parts) + b"--cut--\r\n"


def read(body: bytes, *, step: int = 65_536, settings: Settings | None = None) -> tuple[UploadForm, bytes]:
    reader = FormReader(KIND, settings or Settings())
    taken = []
    for place in range(0, len(body), step):
        reader.feed(body[place : place + step])
        taken.append(reader.take())
    return reader.finish(), b"".join(taken)


def refused(body: bytes, *, settings: Settings | None = None) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        read(body, settings=settings)
    return caught.value


def facts(error: RefusedError) -> tuple[int, str | None, str | None]:
    return error.status, error.param, error.code


def test_parts_may_come_in_any_order() -> None:
    parts = [
        field("purpose", "batch"),
        field("expires_after[anchor]", "created_at"),
        field("expires_after[seconds]", "3600"),
        file(),
    ]
    expected = UploadForm(filename="jobs.jsonl", purpose="batch", bytes=3, expires_after_s=3600)
    for order in itertools.permutations(parts):
        assert read(form(*order)) == (expected, b"{}\n")


def test_pieces_may_be_of_any_size() -> None:
    content = b'{"a": "--cut\\r"}\r\n--cu\r\n\r\n--cutter\r\n' * 3
    body = form(file(content), field("purpose", "batch"))
    for step in (1, 2, 3, 7, 64, 100_000):
        upload, taken = read(body, step=step)
        assert taken == content
        assert upload.bytes == len(content)


def test_dotted_and_bracketed_names_are_the_same() -> None:
    parts = (field("expires_after.anchor", "created_at"), field("expires_after.seconds", "2592000"))
    assert read(form(*parts, field("purpose", "evals"), file()))[0].expires_after_s == 2_592_000
    twice = form(*parts, field("expires_after[seconds]", "3600"), field("purpose", "evals"), file())
    assert "more than one 'expires_after.seconds'" in str(refused(twice))


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        (b'file"; filename="../../etc/passwd.jsonl"', "passwd.jsonl"),
        (b'file"; filename="/tmp/a.jsonl"', "a.jsonl"),
        (b'file"; filename="..\\\\..\\\\a.jsonl"', "a.jsonl"),
        (b'file"; filename="C:\\Users\\a.jsonl"', "a.jsonl"),
        (b'file"; filename="a;b.jsonl"', "a;b.jsonl"),
        (b'file"; filename="\xc3\xbcber uns.jsonl"', "über uns.jsonl"),
        (b'file"; filename=plain.jsonl', "plain.jsonl"),
        (b'file"; filename="a.jsonl"\r\nContent-Type: application/octet-stream', "a.jsonl"),
        (b'file"; filename="a.jsonl"\r\nContent-Transfer-Encoding: Binary', "a.jsonl"),
    ],
)
def test_filename_is_never_a_path(head: bytes, filename: str) -> None:
    assert read(form(field("purpose", "batch"), file(head=head)))[0].filename == filename


@pytest.mark.parametrize("head", [b'file"', b'file"; filename=""', b'file"; filename="a/"'])
def test_file_needs_a_filename(head: bytes) -> None:
    error = refused(form(field("purpose", "batch"), file(head=head)))
    assert facts(error) == (400, "file", "invalid_type")


def test_filename_has_no_control_characters() -> None:
    error = refused(form(field("purpose", "batch"), file(head=b'file"; filename="a\nb.jsonl"')))
    assert facts(error) == (400, "file", "invalid_value")


def test_missing_file_and_missing_purpose_are_named() -> None:
    assert str(refused(form(field("purpose", "batch")))) == "Missing required parameter: 'file'."
    error = refused(form(file()))
    assert str(error) == "Missing required parameter: 'purpose'."
    assert facts(error) == (400, "purpose", "missing_required_parameter")
    assert facts(refused(form())) == (400, "file", "missing_required_parameter")


def test_unknown_purpose_is_answered_with_the_known_ones() -> None:
    error = refused(form(field("purpose", "x"), file()))
    assert facts(error) == (400, "purpose", "invalid_value")
    assert str(error) == (
        "Invalid value: 'x'. Supported values are: 'assistants', 'batch', 'fine-tune', 'vision', 'user_data', 'evals'."
    )


@pytest.mark.parametrize("purpose", ["assistants", "fine-tune", "vision", "user_data", "evals"])
def test_only_batch_files_are_looked_into(purpose: str) -> None:
    upload, _ = read(form(field("purpose", purpose), file(b"\x00\x01", head=b'file"; filename="a.pdf"')))
    assert upload.purpose == purpose
    assert read(form(field("purpose", purpose), file(b"")))[0].bytes == 0


@pytest.mark.parametrize(
    ("anchor", "seconds", "param", "code"),
    [
        ("created_at", None, "expires_after.seconds", "missing_required_parameter"),
        (None, "3600", "expires_after.anchor", "missing_required_parameter"),
        ("last_active_at", "3600", "expires_after.anchor", "invalid_value"),
        ("created_at", "3599", "expires_after.seconds", "integer_below_min_value"),
        ("created_at", "-1", "expires_after.seconds", "integer_below_min_value"),
        ("created_at", "2592001", "expires_after.seconds", "integer_above_max_value"),
        ("created_at", "soon", "expires_after.seconds", "invalid_type"),
        ("created_at", "3600.0", "expires_after.seconds", "invalid_type"),
        ("created_at", "9" * 500, "expires_after.seconds", "invalid_type"),
    ],
)
def test_wrong_expiry_is_refused(anchor: str | None, seconds: str | None, param: str, code: str) -> None:
    given = {"expires_after[anchor]": anchor, "expires_after[seconds]": seconds}
    parts = [field(name, value) for name, value in given.items() if value is not None]
    assert facts(refused(form(field("purpose", "batch"), *parts, file()))) == (400, param, code)


def test_unknown_field_is_refused() -> None:
    error = refused(form(field("purpose", "batch"), field("colour", "red"), file()))
    assert str(error) == "Unknown parameter: 'colour'."
    assert facts(error) == (400, "colour", "unknown_parameter")


def test_file_is_limited_while_it_streams() -> None:
    reader = FormReader(KIND, Settings(upload_bytes_max=1000, batch_bytes_max=100))
    start = form(field("purpose", "vision"), file(b"x" * 1000)).removesuffix(b"\r\n--cut--\r\n")
    reader.feed(start)
    with pytest.raises(RefusedError) as caught:
        reader.feed(b"xx" * 20)
    assert facts(caught.value) == (413, "file", "request_too_large")


def test_batch_file_has_a_smaller_limit_in_either_order() -> None:
    settings = Settings(upload_bytes_max=1000, batch_bytes_max=100)
    large = file(b"1" + b" " * 100)
    assert facts(refused(form(field("purpose", "batch"), large), settings=settings)) == (
        413,
        "file",
        "request_too_large",
    )
    assert facts(refused(form(large, field("purpose", "batch")), settings=settings)) == (
        413,
        "file",
        "request_too_large",
    )
    assert read(form(large, field("purpose", "vision")), settings=settings)[0].bytes == 101
    assert read(form(file(b"1" + b" " * 99), field("purpose", "batch")), settings=settings)[0].bytes == 100


def broken() -> Iterable[tuple[bytes, str]]:
    good = form(field("purpose", "batch"), file())
    yield good.removesuffix(b"--cut--\r\n"), "ends before its closing boundary"
    yield good[: len(good) // 2], "ends before its closing boundary"
    yield b"", "ends before its closing boundary"
    yield b"--other\r\n", "Expected boundary character"
    yield b"no form at all", "Expected boundary character"
    yield form(b"bad header\r\n\r\nx\r\n"), "invalid character"
    yield form(b"Content-Type: text/plain\r\n\r\nx\r\n"), "a part has no name"
    yield form(DISPOSITION + b'purpose"\r\nX: ' + b"x" * 5000 + b"\r\n\r\nbatch\r\n"), "Maximum header size exceeded"
    yield form(b"X: y\r\n" * 9 + field("purpose", "batch")), "Maximum header count exceeded"
    yield (
        form(field("purpose", "x" * (FIELD_BYTES_MAX + 1)), file()),
        f"'purpose' has more than {FIELD_BYTES_MAX} bytes",
    )
    yield form(field("purpose", "batch"), field("purpose", "batch"), file()), "more than one 'purpose'"
    yield form(field("purpose", "batch"), file(), file()), "more than one 'file'"
    yield form(DISPOSITION + b'purpose"\r\n\r\n\xff\r\n'), "not UTF-8"
    encoded = file(head=b'file"; filename="a.jsonl"\r\nContent-Transfer-Encoding: base64')
    yield form(field("purpose", "batch"), encoded), "Content-Transfer-Encoding"


@pytest.mark.parametrize(("body", "reason"), list(broken()))
def test_broken_form_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    error = refused(body)
    assert facts(error) == (400, None, None)
    assert str(error).startswith("The multipart form of your request could not be read: ")
    assert reason in str(error)


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=cut", "multipart/form-data; boundary="],
)
def test_body_of_another_kind_is_refused(content_type: str) -> None:
    with pytest.raises(RefusedError, match="multipart/form-data, with a boundary"):
        FormReader(content_type, Settings())


def test_overlong_boundary_is_refused() -> None:
    with pytest.raises(RefusedError, match="Boundary length 300"):
        FormReader(f"multipart/form-data; boundary={'b' * 300}", Settings())


def test_nothing_waits_that_was_taken() -> None:
    reader = FormReader(KIND, Settings())
    reader.feed(form(field("purpose", "vision"), file(b"x" * 10_000)))
    assert reader.waiting == 10_000
    assert len(reader.take()) == 10_000
    assert (reader.waiting, reader.take()) == (0, b"")
