"""What tests of the way back share."""

from tests.results.broker import broker

__all__ = ["broker"]
