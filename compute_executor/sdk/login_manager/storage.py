"""Our token file as globus_sdk's token storage."""

from __future__ import annotations

from collections.abc import Mapping

from globus_sdk.token_storage import TokenStorage, TokenStorageData

from compute_executor.sdk.login_manager import tokens


class TokenFile(TokenStorage):
    """The tokens of one login, in the file of `tokens`."""

    def store_token_data_by_resource_server(
        self, token_data_by_resource_server: Mapping[str, TokenStorageData]
    ) -> None:
        """Add or replace tokens."""
        tokens.store(
            self.namespace, {name: data.to_dict() for name, data in token_data_by_resource_server.items()}
        )

    def get_token_data_by_resource_server(self) -> dict[str, TokenStorageData]:
        """Return all tokens of this login."""
        return {
            name: TokenStorageData.from_dict(found) for name, found in tokens.load(self.namespace).items()
        }

    def remove_token_data(self, resource_server: str) -> bool:
        """Forget one token."""
        return tokens.remove(self.namespace, resource_server)
