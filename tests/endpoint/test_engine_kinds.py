"""The table of engines, and what is made from it."""

from __future__ import annotations

import pytest

from compute_executor.cli.endpoint_start import merged
from compute_executor.cli.wrong_input import WrongInput
from compute_executor.endpoint.engine_kinds import KINDS, OF_BLOCKS, PROCESS
from compute_executor.endpoint.pilots.sources import OPENERS
from compute_executor.endpoint.settings import EndpointSettings

OF_EVERY_ENDPOINT = {
    "engine",
    "url",
    "profile",
    "certificate",
    "workers",
    "gpus",
    "threads_per_worker",
    "folder",
    "variables",
    "description",
    "public",
    "group",
    "allowed_functions",
}


def test_every_engine_elsewhere_can_be_opened() -> None:
    assert set(OPENERS) == KINDS.keys() - {PROCESS}


def test_every_setting_reaches_the_engine_that_it_is_for() -> None:
    of_kinds = {name for kind in KINDS.values() for name in kind.options} | set(OF_BLOCKS)
    assert of_kinds | OF_EVERY_ENDPOINT == set(EndpointSettings.__struct_fields__)
    told = EndpointSettings(engine="slurm", partition="short", max_blocks=3).options()
    assert (told["partition"], told["max_blocks"]) == ("short", 3)
    assert set(EndpointSettings(engine="dask").options()) == {"scheduler", *OF_BLOCKS}


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        ({}, {"partition": "short"}, "--partition is for slurm, and the engine of this endpoint is process"),
        ({"engine": "dask"}, {"ranks": 4}, "--ranks is for mpi, and the engine of this endpoint is dask"),
        (
            {"engine": "slurm"},
            {"engine": "mpi", "worker_init": "ml"},
            "--worker-init is for slurm, .* is mpi",
        ),
        (
            {},
            {"max_blocks": 2},
            "--max-blocks is for slurm and parsl and dask and mpi and ray, .* is process",
        ),
    ],
)
def test_an_option_of_another_engine_is_refused(
    settings: dict[str, str], given: dict[str, object], message: str
) -> None:
    with pytest.raises(WrongInput, match=message):
        merged(EndpointSettings(**settings), given)  # type: ignore[arg-type]


def test_what_an_engine_does_take() -> None:
    found = merged(EndpointSettings(), {"engine": "slurm", "partition": "short", "max_blocks": 2})
    assert (found.partition, found.max_blocks) == ("short", 2)


def test_the_address_of_ray_is_not_this_machines() -> None:
    ray = EndpointSettings(engine="ray", address="10.0.0.1:6379")
    assert (ray.own_address, ray.options()["address"]) == ("", "10.0.0.1:6379")
    assert EndpointSettings(engine="dask", address="10.0.0.2").own_address == "10.0.0.2"
