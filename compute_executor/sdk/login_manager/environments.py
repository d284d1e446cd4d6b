"""The names of Globus Compute's deployments, and what identifies this program to Globus Auth.

Names and addresses are those of globus-compute-sdk 4.19.0 (``sdk/_environments.py``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from compute_executor.errors import InvalidRequest

SCOPE = "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all"
RESOURCE_SERVER = "funcx_service"
NATIVE_CLIENT_ID = "4cf29807-cf21-49ec-9443-ff9a3fb9f81c"
"""Globus Compute's public native application, under which people log in; it has no secret."""

BUILT_IN_ENDPOINT = "c0de0000-0000-8000-8000-00000000c0de"
"""The endpoint that every service of this package has."""
TUTORIAL_ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
"""The tutorial endpoint in all deployments; our services take it as a name of their own built-in endpoint."""

PRODUCTION = "production"
LOCAL = "local"
ENVIRONMENT_VARIABLES = ("GLOBUS_SDK_ENVIRONMENT", "FUNCX_SDK_ENVIRONMENT")

URLS = {
    PRODUCTION: "https://compute.api.globus.org",
    "preview": "https://compute.api.preview.globus.org",
    "dev": "https://api.dev.funcx.org",
    LOCAL: "http://localhost:5000",
    **{
        name: f"https://compute.api.{name}.globuscs.info"
        for name in ("sandbox", "test", "integration", "staging")
    },
}
"""Base URL of the compute service by the name of its deployment."""

_HOSTED_DOMAINS = (".globus.org", ".funcx.org", ".globuscs.info")


def service_url(environment: str) -> str:
    """Base URL of a deployment. Raises InvalidRequest with the names there are."""
    if environment not in URLS:
        raise InvalidRequest(f"there is no environment {environment!r}; there are {', '.join(URLS)}")
    return URLS[environment]


def named_environment(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the deployment that the process environment names, if it does."""
    return next((environ[name] for name in ENVIRONMENT_VARIABLES if environ.get(name)), None)


def is_hosted(url: str) -> bool:
    """Return whether a URL is one of Globus Compute's own.

    >>> is_hosted("https://compute.api.globus.org"), is_hosted("https://compute.example.org")
    (True, False)
    """
    return (urlsplit(url).hostname or "").endswith(_HOSTED_DOMAINS)
