"""What helps to test programs that use an Executor: a service without processes, with faults to order."""

from compute_executor.testing.faults import Faults
from compute_executor.testing.service import FakeService

__all__ = ["FakeService", "Faults"]
