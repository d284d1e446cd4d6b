"""Whom a service's certificate may be from: the system's authorities, and the one that its profile names.

A profile's certificate is for its own address only. It is noted when a Client is made with the profile; requests and
streams to that address then trust it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from compute_executor.errors import InvalidRequest
from compute_executor.local.certificates import tls_context

if TYPE_CHECKING:
    import ssl

_certificates: dict[str, str] = {}  # by host and port; single reads and writes, by any thread


def trust(url: str, certificate: str) -> None:
    """Trust this file's certificate authority for the service at ``url``. Raises InvalidRequest if there is none."""
    place = Path(certificate).expanduser()
    if not place.is_file():
        raise InvalidRequest(f"the certificate {certificate} of the service at {url} is not there")
    _certificates[urlsplit(url).netloc] = str(place)


def context(url: str) -> ssl.SSLContext:
    """Return the TLS settings for a connection to ``url``. Raises InvalidRequest for a certificate that is none."""
    return tls_context(_certificates.get(urlsplit(url).netloc))
