"""The TLS settings of connections to a service."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.local.certificates import tls_context
from tests.sdk.http.test_direct import self_signed


@pytest.mark.parametrize("certificate", [None, ""])
def test_by_default_the_authorities_of_the_system_are_trusted(certificate: str | None) -> None:
    assert tls_context(certificate).verify_mode is ssl.CERT_REQUIRED


def test_the_authority_in_a_file_is_trusted(tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path)
    assert tls_context(str(certificate)).cert_store_stats()["x509"] == 1


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_without_a_certificate_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "lab.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidRequest, match=rf"the certificate {file} cannot be used: .* in PEM"):
        tls_context(str(file))
