"""Options of calls: what is passed, what travels, and where it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from compute_executor.errors import InvalidRequest, ResourcesNotOffered
from compute_executor.protocol.call_options import CALL_OPTIONS, check_kept, replace_option, with_options
from compute_executor.protocol.endpoint_kind import EndpointKind
from compute_executor.protocol.frames import UNTIL_TAKEN, Options
from tests.numbers_like_numpy import RealNumber, WholeNumber

VALUES: dict[str, Any] = {
    "retries": 2,
    "timeout": 1.5,
    "keep": "14d",
    "container": b"c" * 16,
    "cores": 4,
    "memory": "8GB",
    "gpus": 1,
    "nodes": 2,
    "ranks": 8,
    "resource_specification": {"num_nodes": 2},
    "user_endpoint_config": {"account": "a"},
    "result_serializers": ["package.Strategy"],
}


def test_every_option_of_a_frame_is_declared() -> None:
    declared = {option.field for option in CALL_OPTIONS}
    assert declared | {"user_runtime"} == set(Options.__struct_fields__)  # that is the Client's
    assert [option.keyword for option in CALL_OPTIONS] == list(VALUES)


def test_what_is_given_is_set_and_the_rest_stays() -> None:
    one = with_options(Options(retries=1), timeout=5, container=None)
    assert one == Options(retries=1, walltime=5.0)
    assert with_options(one, retries=0) == Options(walltime=5.0)


@pytest.mark.parametrize("keyword", list(VALUES))
def test_an_option_can_be_taken_away(keyword: str) -> None:
    one = replace_option(Options(), keyword, VALUES[keyword])
    assert one != Options()
    assert replace_option(one, keyword, None) == Options()


def test_how_long_results_are_kept() -> None:
    kept = [with_options(Options(), keep=value).keep for value in (5, RealNumber(0.5), "36h", "until taken")]
    assert kept == [5.0, 0.5, 36 * 3600.0, UNTIL_TAKEN]


def test_what_the_caller_changes_later_does_not_travel() -> None:
    wanted = {"nodes": [1, 2]}
    one = with_options(Options(), resource_specification=wanted)
    wanted["nodes"].append(3)
    assert one.resource_specification == {"nodes": [1, 2]}


def test_numbers_of_numpy_travel_as_numbers() -> None:
    needs = {"nodes": WholeNumber(2), "hours": RealNumber(0.5)}
    one = with_options(Options(), retries=WholeNumber(1), timeout=RealNumber(5), resource_specification=needs)
    assert (one.retries, one.walltime) == (1, 5.0)
    assert one.resource_specification == {"nodes": 2, "hours": 0.5}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"user_endpoint_config": {"a": {1}}}, TypeError),  # would arrive as a list
        ({"resource_specification": {"a": b"1"}}, TypeError),
        ({"retries": 1.0}, TypeError),
        ({"retries": -1}, ValueError),
        ({"timeout": "5"}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"keep": 0}, ValueError),
        ({"keep": "soon"}, ValueError),
        ({"keep": "-5d"}, ValueError),
        ({"keep": [1]}, TypeError),
        ({"cores": True}, TypeError),
        ({"cores": 4.0}, TypeError),
        ({"gpus": "1"}, TypeError),
        ({"gpus": 0}, ValueError),
        ({"nodes": -1}, ValueError),
        ({"ranks": 1 << 40}, ValueError),
        ({"memory": True}, TypeError),
        ({"memory": 1e9}, TypeError),
        ({"memory": 0}, ValueError),
        ({"memory": "8 gigs"}, ValueError),
        ({"memory": "0.1"}, ValueError),
        ({"memory": "-8GB"}, ValueError),
        ({"memory": 1 << 80}, ValueError),
        ({"resource_specification": [1]}, TypeError),
        ({"resource_specification": {"a": object()}}, TypeError),
        ({"user_endpoint_config": {"a": {1, object()}}}, TypeError),
        ({"user_endpoint_config": {"a": 1 << 70}}, TypeError),
    ],
)
def test_wrong_values(given: dict[str, Any], error: type[Exception]) -> None:
    (name,) = given
    with pytest.raises(error, match=name):
        with_options(Options(), **given)


@pytest.mark.parametrize("kind", list(EndpointKind))
@pytest.mark.parametrize("option", CALL_OPTIONS, ids=lambda option: option.keyword)
def test_an_option_is_kept_or_refused(option: Any, kind: EndpointKind) -> None:
    options = replace_option(Options(), option.keyword, VALUES[option.keyword])
    if kind in option.kept_by:
        check_kept(options, kind)
        return
    with pytest.raises(InvalidRequest, match=f"{option.keyword} is not kept by {kind.value}, only by"):
        check_kept(options, kind)


def test_several_that_are_not_kept_are_named_together() -> None:
    options = with_options(Options(), retries=1, timeout=5, container=b"c" * 16)
    with pytest.raises(
        InvalidRequest, match="retries, timeout and container are not kept by an endpoint of Globus"
    ):
        check_kept(options, EndpointKind.HOSTED)


@pytest.mark.parametrize("kind", [EndpointKind.STOCK, EndpointKind.HOSTED])
def test_nodes_and_ranks_that_mean_nothing_to_an_endpoint_of_globus_compute_are_refused(
    kind: EndpointKind,
) -> None:
    with pytest.raises(ResourcesNotOffered, match="ranks=3 cannot be divided among nodes=2 evenly"):
        check_kept(with_options(Options(), nodes=2, ranks=3), kind)
