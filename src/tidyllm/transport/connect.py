"""How connections are made: through which proxy, trusting whom, and for how long they are kept."""

import re
import sys
from collections.abc import Iterable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.proxy import ProxyBuilder

from tidyllm.core.errors import SettingError

CONNECT_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 4.0
"""How long an unused connection is kept: servers built on uvicorn hang up after 5 s, and a request that crosses the
hang-up is lost in a way that looks as if it might have been carried out."""

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def connect(proxy: str | None, certificates: Iterable[bytes], *, timeout_s: float, by_silence: bool) -> Client:
    """Return a client of pyreqwest that follows no redirect; its connections are made when they are needed.

    `proxy` is for every URL; without it HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are obeyed. `timeout_s` bounds
    each exchange, in seconds, or with `by_silence` each wait for bytes instead.
    """
    builder = (
        ClientBuilder()
        .user_agent(f"tidyllm/{version('tidyllm')}")
        .follow_redirects(enable=False)
        .connect_timeout(timedelta(seconds=CONNECT_TIMEOUT_S))
        .pool_idle_timeout(timedelta(seconds=IDLE_TIMEOUT_S))
    )
    timeout = timedelta(seconds=timeout_s)
    builder = builder.read_timeout(timeout) if by_silence else builder.timeout(timeout)
    for certificate in certificates:
        builder = builder.add_root_certificate_pem(certificate)
    try:
        return (builder if proxy is None else builder.proxy(ProxyBuilder.all(proxy))).build()
    except ValueError as error:
        raise SettingError(f"The proxy or a certificate cannot be used: {error.args[0]}.") from error


def trusted(ca_file: Path | None, ssl_cert_file: str | None, *, platform: str = sys.platform) -> tuple[bytes, ...]:
    """Return the certificates in `ca_file` and SSL_CERT_FILE, in PEM form, to be trusted besides the system's.

    On Linux SSL_CERT_FILE is left to rustls, which reads it as the system's own; elsewhere it looks at no file.
    `SettingError` where a file cannot be read or holds none.
    """
    files = [ca_file] if ca_file is not None else []
    if ssl_cert_file and not platform.startswith("linux"):
        files.append(Path(ssl_cert_file))
    found: list[bytes] = []
    for file in files:
        try:
            certificates = _CERTIFICATE.findall(file.read_bytes())
        except OSError as error:
            raise SettingError(f"The certificates in {file} cannot be read: {error.strerror or error}.") from error
        if not certificates:
            raise SettingError(f"{file} holds no certificate in PEM form.")
        found.extend(certificates)
    return tuple(found)
