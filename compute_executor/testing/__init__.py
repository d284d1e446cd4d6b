"""What helps to test programs that use an Executor: a service without processes, with faults to order."""

from compute_executor.testing.fake_service import FakeService
from compute_executor.testing.faults import Faults

__all__ = ["FakeService", "Faults"]
