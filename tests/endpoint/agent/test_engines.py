"""Which engine an endpoint opens, by its configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.agent.engines import open_engine
from compute_executor.endpoint.settings import EndpointSettings
from compute_executor.errors import InvalidRequest


@pytest.mark.parametrize("engine", ["dask", "mpi", "ray", "/pools.py:make"])
def test_engines_that_cannot_divide_devices_say_so(engine: str) -> None:
    nothing: Any = None
    with pytest.raises(InvalidRequest, match=f"--gpus is for the engines process, slurm, parsl: of {engine}"):
        asyncio.run(open_engine(EndpointSettings(engine=engine, gpus="all"), nothing, Path(), b"", nothing))
