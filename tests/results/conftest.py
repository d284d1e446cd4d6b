"""What tests of the way back share."""

from tests.results.broker import broker
from tests.results.streaming import server

__all__ = ["broker", "server"]
