"""What workers in an environment see of their caller."""

from __future__ import annotations

from compute_executor.endpoint.environments.environment import Environment
from compute_executor.protocol.frames import PoolSpec

SPEC = PoolSpec(
    1,
    "/usr/bin/python3",
    [
        "/home/me",
        "/usr/lib/python311.zip",
        "/usr/lib/python3.11",
        "/usr/lib/python3.11/lib-dynload",
        "/v/lib/python3.11/site-packages",
        "/usr/lib/python3/dist-packages",
        "/home/me/python3-things",
        "",
    ],
    "/",
    {"PATH": "/bin", "PYTHONPATH": "/x", "PYTHONHOME": "/y", "OMP_NUM_THREADS": "2"},
)
HERE = Environment("/e/venv/bin/python", "3.12")


def test_the_folders_of_programs_are_seen_those_of_packages_are_not() -> None:
    assert HERE.caller_path(SPEC) == ["/home/me", "/home/me/python3-things", ""]


def test_nothing_of_it_is_in_an_image() -> None:
    assert Environment("python3", "", image="i", runtime="podman").caller_path(SPEC) == []


def test_the_variables_are_the_callers_but_for_those_of_an_interpreter() -> None:
    assert HERE.environ(SPEC) == {
        "PATH": "/e/venv/bin:/bin",
        "VIRTUAL_ENV": "/e/venv",
        "OMP_NUM_THREADS": "2",
    }
