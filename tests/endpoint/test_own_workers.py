"""What the workers of an endpoint are like, by its configuration."""

from __future__ import annotations

import pytest

from compute_executor.devices import Hardware
from compute_executor.endpoint import own_workers
from compute_executor.endpoint.own_workers import local_offer, worker_spec
from compute_executor.endpoint.settings import EndpointSettings
from compute_executor.errors import InvalidRequest


@pytest.fixture(autouse=True)
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("compute_executor.devices.look", lambda: Hardware(nvidia=("0", "1")))
    monkeypatch.setattr(own_workers, "usable_cpus", lambda: 6)


@pytest.mark.parametrize(
    ("settings", "workers", "names", "threads"),
    [
        (EndpointSettings(), 6, [], 0),
        (EndpointSettings(gpus="all"), 2, [["0"], ["1"]], 0),
        (EndpointSettings(gpus="1, 0", workers=4), 4, [["1"], ["0"]], 0),
        (EndpointSettings(threads_per_worker=4), 1, [], 4),
        (EndpointSettings(threads_per_worker=2), 3, [], 2),
    ],
)
def test_workers(settings: EndpointSettings, workers: int, names: list[list[str]], threads: int) -> None:
    spec = worker_spec(settings, "name")
    assert (spec.max_workers, [one.names for one in spec.devices], spec.threads) == (workers, names, threads)
    assert spec.environ.get("MKL_NUM_THREADS") == (str(threads) if threads else None)
    offer = local_offer(spec)
    assert offer[:2] == (workers, threads or 1)
    assert offer.gpus == (1 if names else 0)
    assert offer.memory > 0


def test_devices_that_are_not_there() -> None:
    with pytest.raises(
        InvalidRequest, match=r"cannot have the devices '0,7': gpus names device 7, and .* may use 2"
    ):
        worker_spec(EndpointSettings(gpus="0,7"), "name")
