"""What calls take, what machines offer, and whether the one fits into the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import InvalidRequest, ResourcesNotOffered
from compute_executor.protocol.call_options import with_options
from compute_executor.protocol.frames import Options, PoolSpec, WorkerDevices
from compute_executor.protocol.resources import (
    ResourceOffer,
    Resources,
    WorkerShare,
    check_fit,
    check_values,
    least,
    memory_size,
    misfits,
    offer_from,
    offer_of,
    resources_of,
    share_of,
    size_text,
    stock_specification,
)


def test_memory_is_bytes_or_a_size() -> None:
    assert memory_size("memory", 7) == 7
    assert memory_size("memory", "1.5GiB") == 3 << 29


def test_a_call_that_asks_for_nothing_takes_a_worker() -> None:
    assert resources_of(Options(retries=1)) is None
    assert resources_of(with_options(Options(), memory="1kB")) == Resources(memory=1000)
    assert resources_of(with_options(Options(), cores=2, ranks=3)) == Resources(cores=2, ranks=3)


def test_what_a_pool_offers() -> None:
    spec = PoolSpec(4, "python", [], "/", {}, threads=2, devices=[WorkerDevices(["0", "1"], {})])
    assert offer_of(spec, 5, "mpiexec") == ResourceOffer(4, 2, 5, 2, "mpiexec")
    assert offer_of(PoolSpec(3, "python", [], "/", {})) == ResourceOffer(3)


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 16), st.integers(1, 16))
def test_what_fits_takes_no_more_workers_than_there_are(
    cores: int, ranks: int, workers: int, each: int
) -> None:
    asked, offer = Resources(cores=cores, ranks=ranks), ResourceOffer(workers, each)
    share = share_of(asked, offer)
    assert (share.workers - 1) * each < cores * ranks <= share.workers * each
    assert (misfits(asked, offer) == "") == (share.workers <= workers)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Resources(cores=5), "cores=5, and 4 workers are there"),
        (Resources(cores=2, ranks=3), r"cores=6 \(3 ranks\), and 4 workers are there"),
        (Resources(memory=3 << 30), r"memory=3.0 GiB \(3221225472 bytes\), and 2.0 GiB \(2147483648 bytes\)"),
        (Resources(gpus=2), "gpus=2, and 1 device for each worker are there"),
        (Resources(nodes=2), "nodes=2, and a call runs on 1 machine there"),
        (Resources(ranks=2), "ranks=2, and nothing there starts them"),
        (Resources(cores=9, nodes=3), "cores=9, .*; nodes=3"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_figures(asked: Resources, told: str) -> None:
    offer = ResourceOffer(4, memory=2 << 30, gpus=1, launcher="")
    with pytest.raises(ResourcesNotOffered, match=f"a call asks the workers for {told}"):
        check_fit(asked, lambda: offer, "the workers")


def test_what_fits_or_cannot_be_known_is_taken() -> None:
    check_fit(None, pytest.fail, "nobody")
    check_fit(Resources(4, 5, 1, 1, 1), lambda: ResourceOffer(2, 2, 5, 1, ""), "the workers")
    check_fit(Resources(memory=1 << 50, ranks=2), lambda: ResourceOffer(2), "the workers")
    assert (
        misfits(Resources(cores=5), ResourceOffer(2, 2)) == "cores=5, and 2 workers of 2 cores each are there"
    )
    assert "no device for each worker" not in misfits(Resources(), ResourceOffer(1))
    assert "no devices for each worker" in misfits(Resources(gpus=1), ResourceOffer(1))


def test_a_share_of_memory_is_the_whole_call_s() -> None:
    assert share_of(Resources(memory=7, ranks=2), ResourceOffer(4)) == WorkerShare(2, 7)
    assert (size_text(3 << 20), size_text(5)) == ("3.0 MiB (3145728 bytes)", "5 bytes")


def test_nodes_and_ranks_are_a_specification_at_endpoints_of_globus_compute() -> None:
    def made(**options: int) -> object:
        return stock_specification(with_options(Options(), **options))

    assert made() is None
    assert made(nodes=2, ranks=8) == {"num_nodes": 2, "num_ranks": 8, "ranks_per_node": 4}
    assert made(ranks=3) == {"num_nodes": 1, "num_ranks": 3, "ranks_per_node": 3}
    assert made(nodes=3) == {"num_nodes": 3, "num_ranks": 3, "ranks_per_node": 1}
    given_too = with_options(Options(), resource_specification={"num_nodes": 1})
    assert stock_specification(given_too) == {"num_nodes": 1}
    with pytest.raises(ResourcesNotOffered, match="nodes=1 and ranks=2 are a resource_specification"):
        stock_specification(with_options(given_too, ranks=2))


def test_an_offer_travels_and_what_cannot_be_one_is_none() -> None:
    offer = ResourceOffer(4, 2, 1 << 33, 1, "mpiexec")
    assert offer_from(offer._asdict()) == offer
    assert offer_from({"workers": 1, "new": 5}) == ResourceOffer(1)
    for wrong in (None, [4], {}, {"workers": 0}, {"workers": "4"}, {"workers": 1, "memory": -1}):
        assert offer_from(wrong) is None


def test_of_several_machines_each_must_have_it() -> None:
    assert least([]) is None
    one, other = ResourceOffer(4, 2, 7, 1, "mpiexec"), ResourceOffer(8, 1, 0, 2, "")
    assert least([one, other]) == ResourceOffer(4, 1, 7, 1, "")
    assert least([one]) == one


@pytest.mark.parametrize("name", ["cores", "memory", "gpus", "nodes", "ranks"])
def test_figures_that_no_call_can_have_are_refused(name: str) -> None:
    def check(value: int) -> None:
        figures: dict[str, Any] = {name: value}
        check_values(Options(**figures))

    check(1)
    for value in (0, -1, 1 << 63):
        with pytest.raises(InvalidRequest, match=f"{name} may be 1 to"):
            check(value)
    check_values(Options())  # as most calls are
