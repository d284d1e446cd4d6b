"""Which service, and what its endpoints are."""

from __future__ import annotations

import platform
import uuid
from typing import Any, cast

import pytest

from compute_executor.errors import (
    InvalidRequest,
)
from compute_executor.peer import ClientLocator
from compute_executor.protocol.endpoint_kind import EndpointKind
from compute_executor.serialization.python_versions import VersionsDiffer


def test_the_api_of_a_client_is_not_that_of_a_hosted_service() -> None:
    class Client:
        hosted = True

        def own_api(self) -> None:
            """Nothing is asked of it."""

    with pytest.raises(InvalidRequest, match="endpoint_id is missing"):
        ClientLocator(cast(Any, Client())).api()


class _OwnService:
    """A Client of a service of our own, whose one endpoint is a stock one."""

    def __init__(self, **document: Any) -> None:
        self.document = document

    def is_own_service(self) -> bool:
        return True

    def get_endpoint_metadata(self, _endpoint: uuid.UUID) -> dict[str, Any]:
        return self.document

    def own_api(self) -> None:
        """Nothing is asked of it."""


def test_other_versions_at_a_stock_endpoint_are_said_once_before_anything_is_sent() -> None:
    peer = ClientLocator(cast(Any, _OwnService(python_version="3.1.4", dill_version="0.0.1")))
    with pytest.warns(
        VersionsDiffer, match=r"Python 3\.1\.4 there.*dill 0\.0\.1 there.*by_source=True"
    ) as told:
        kinds = [peer.kind(one) for one in (b"e" * 16, b"e" * 16, b"f" * 16)]
    assert kinds == [EndpointKind.STOCK] * 3
    assert len(told) == 2  # once for each endpoint


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"python_version": platform.python_version()}, EndpointKind.STOCK),
        ({}, EndpointKind.STOCK),
        ({"built_in": True, "python_version": "3.1.4"}, EndpointKind.OURS),
    ],
)
def test_the_same_versions_and_our_own_workers_are_no_news(
    document: dict[str, Any], kind: EndpointKind
) -> None:
    assert ClientLocator(cast(Any, _OwnService(**document))).kind(b"e" * 16) is kind
