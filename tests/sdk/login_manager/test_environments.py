"""Names of deployments."""

from __future__ import annotations

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sdk.login_manager import environments


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("production", "https://compute.api.globus.org"),
        ("preview", "https://compute.api.preview.globus.org"),
        ("dev", "https://api.dev.funcx.org"),
        ("local", "http://localhost:5000"),
        ("staging", "https://compute.api.staging.globuscs.info"),
    ],
)
def test_urls_are_the_stock_sdks(name: str, url: str) -> None:
    assert environments.service_url(name) == url
    assert environments.is_hosted(url) == (name != "local")


def test_an_unknown_name_is_told_with_the_names_there_are() -> None:
    with pytest.raises(InvalidRequest, match="production, preview"):
        environments.service_url("prod")


def test_the_newer_variable_wins() -> None:
    both = {"GLOBUS_SDK_ENVIRONMENT": "preview", "FUNCX_SDK_ENVIRONMENT": "dev"}
    assert environments.named_environment(both) == "preview"
    assert environments.named_environment({"FUNCX_SDK_ENVIRONMENT": "dev"}) == "dev"
    assert environments.named_environment({}) is None


def test_names_that_only_look_hosted_are_not() -> None:
    assert not environments.is_hosted("https://globus.org.evil.com")
    assert not environments.is_hosted("https://evilglobus.org")
