"""What tests of the way back share."""

from tests.session.hosted.broker import broker
from tests.session.stream.streaming import server

__all__ = ["broker", "server"]
