"""The TLS settings of connections to a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute_executor.errors import InvalidRequest

if TYPE_CHECKING:
    import ssl


def tls_context(certificate: str | None) -> ssl.SSLContext:
    """Return the settings by which a service's certificate must be from the authority in this file, or from one of
    the system's. Raises InvalidRequest for a file without a certificate."""
    import ssl

    try:
        return ssl.create_default_context(cafile=certificate or None)
    except OSError as error:  # such as ssl.SSLError
        why = getattr(error, "reason", None) or error.strerror
        raise InvalidRequest(
            f"the certificate {certificate} cannot be used: {why}. A file is needed that has the service's "
            "certificate, or its authority's, in PEM (-----BEGIN CERTIFICATE-----)"
        ) from None
