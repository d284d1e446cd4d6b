"""The recorded names of the SDK are those of the SDK that is installed here."""

from __future__ import annotations

import pytest

from tests.sdk.sdk_signatures import SIGNATURES
from tests.sdk.signatures import signatures

sdk = pytest.importorskip("globus_compute_sdk")


@pytest.mark.skipif(not sdk.__version__.startswith("4.19."), reason="the names are those of 4.19")
def test_the_record_is_true() -> None:
    assert signatures("globus_compute_sdk") == SIGNATURES
