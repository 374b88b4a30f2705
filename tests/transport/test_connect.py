"""Proxies and private certificate authorities, with a real proxy and a real TLS server on loopback."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.transport.scripted import Served, Wire, certificate, run, say_hello, served
from tidyllm.core.errors import ConnectError, SettingError
from tidyllm.core.wire import Request
from tidyllm.transport.connect import connect, trusted
from tidyllm.transport.http import HttpClient

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def tunnel_to(target: Served) -> Callable[[Wire], Awaitable[None]]:
    """Return the script of a proxy that leads every tunnel to `target`."""

    async def script(wire: Wire) -> None:
        assert (await wire.request()).line.startswith("CONNECT ")
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        await wire.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(pump(wire.reader, writer), pump(reader, wire.writer))
        finally:
            writer.close()
            await writer.wait_closed()

    return script


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.write_eof() if writer.can_write_eof() else writer.close()


async def status(client: HttpClient, url: str) -> int:
    return (await client.send(Request(method="POST", url=url, body=b"{}"))).status


@pytest.mark.parametrize("given", ["argument", "environment"])
def test_proxy_carries_plain_requests(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with served(say_hello) as proxy:
            address = f"http://me:pw@127.0.0.1:{proxy.port}"
            if given == "environment":
                monkeypatch.setenv("HTTP_PROXY", address)
            client = HttpClient(proxy=address if given == "argument" else None)
            assert await status(client, "http://model.invalid/v1") == 200
            (received,) = proxy.received
            assert received.line == "POST http://model.invalid/v1 HTTP/1.1"
            assert received.headers["proxy-authorization"] == f"Basic {b64encode(b'me:pw').decode()}"
            await client.close()

    asyncio.run(main())


@pytest.mark.parametrize("given", ["argument", "environment"])
def test_proxy_tunnels_tls(given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tls, ca_file = certificate(tmp_path)

    async def main() -> None:
        async with served(say_hello, tls=tls) as server, served(tunnel_to(server)) as proxy:
            if given == "environment":
                monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            client = HttpClient(proxy=proxy.url if given == "argument" else None, ca_file=ca_file)
            assert await status(client, server.url) == 200
            assert [received.line for received in proxy.received] == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]
            await client.close()

    asyncio.run(main())


def test_hosts_in_no_proxy_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with served(say_hello) as server, served(say_hello) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            client = HttpClient()
            assert await status(client, server.url) == 200
            assert (len(server.received), len(proxy.received)) == (1, 0)
            await client.close()

    asyncio.run(main())


def test_proxy_that_refuses_was_not_sent_the_request() -> None:
    async def refuse(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")

    async def main() -> None:
        async with served(refuse) as proxy:
            client = HttpClient(proxy=proxy.url)
            with pytest.raises(ConnectError, match="proxy"):
                await status(client, "https://model.invalid/v1")
            await client.close()

    asyncio.run(main())


@pytest.mark.parametrize("given", ["argument", "environment"])
def test_private_authority_is_trusted(given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tls, ca_file = certificate(tmp_path)
    if given == "environment":
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))

    async def body(client: HttpClient) -> None:
        async with served(say_hello, tls=tls) as server:
            assert await status(client, server.url) == 200

    run(body, ca_file=ca_file if given == "argument" else None)


def test_every_certificate_of_a_bundle_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    _, other = certificate(tmp_path / "other")
    tls, ca_file = certificate(tmp_path)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"# ours\n" + other.read_bytes() + ca_file.read_bytes())

    async def body(client: HttpClient) -> None:
        async with served(say_hello, tls=tls) as server:
            assert await status(client, server.url) == 200

    assert len(trusted(bundle, None)) == 2
    run(body, ca_file=bundle)


def test_ssl_cert_file_is_read_where_rustls_does_not(tmp_path: Path) -> None:
    _, ca_file = certificate(tmp_path)
    assert len(trusted(None, str(ca_file), platform="darwin")) == 1
    assert trusted(None, str(ca_file), platform="linux") == ()


def test_certificates_that_are_none_are_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        trusted(tmp_path / "none.pem", None)
    (tmp_path / "empty.pem").write_bytes(b"nothing")
    with pytest.raises(SettingError, match="holds no certificate"):
        trusted(tmp_path / "empty.pem", None)
    nonsense = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    with pytest.raises(SettingError, match="cannot be used"):
        connect(None, [nonsense], timeout_s=1.0, by_silence=False)


def test_proxy_that_is_no_url_is_a_wrong_setting() -> None:
    with pytest.raises(SettingError, match="cannot be used"):
        HttpClient(proxy="http://")
