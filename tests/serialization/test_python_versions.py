"""Other versions at the workers: told once, in words that say what to do."""

from __future__ import annotations

import logging
import warnings

import pytest

from compute_executor.serialization.python_versions import Versions, VersionsDiffer, difference, here, met


def there(python: str | None = None, dill: str | None = None) -> dict[str, str]:
    ours = here()
    return {"python_version": python or ours["python_version"], "dill_version": dill or ours["dill_version"]}


def test_the_same_differs_in_nothing() -> None:
    major, minor, *_ = here()["python_version"].split(".")
    for same in (None, {}, {"os": "x"}, there(), there(python=f"{major}.{minor}.999")):
        assert difference(same) is None


def test_what_differs_is_named() -> None:
    assert difference(there(python="3.4.1")) == f"Python 3.4.1 there, {here()['python_version']} here"
    assert difference(there(dill="0.1")) == f"dill 0.1 there, {here()['dill_version']} here"
    both = difference(there("2.7", "0.1"))
    assert both is not None
    assert both.count("there") == 2


def test_what_met_is_said_even_if_half_of_it_is_unknown() -> None:
    assert "Python (unknown) with dill (unknown)" in met(None)
    assert "Python 9 with dill (unknown)" in met({"python_version": "9"})
    assert here()["dill_version"] in met(None)


def test_each_endpoint_is_told_of_once() -> None:
    versions = Versions()
    with pytest.warns(VersionsDiffer, match=r"endpoint a have other versions: .*by_source=True"):
        versions.check("a", there(python="3.4.1"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        versions.check("a", there(python="3.4.1"))
        versions.check("b", None)
        versions.check("c", there())
    with pytest.warns(VersionsDiffer, match="endpoint b"):
        versions.check("b", there(python="3.4.1"))  # what said nothing was not looked at


def test_where_warnings_are_errors_the_results_thread_lives(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        Versions().check("a", there(python="3.4.1"))
    assert "endpoint a have other versions" in caplog.text
