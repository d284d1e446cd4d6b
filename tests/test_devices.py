"""Which GPUs there are and who sees which: without any, by what the tools and files of systems with some say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from compute_executor import devices
from compute_executor.devices import Devices, Hardware, Vendor, chosen, nvidia_names, variables, visible

FOUR = Hardware(nvidia=("0", "1", "2", "3"))

WHOLE = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)
"""
DIVIDED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa)
  MIG 3g.20gb     Device  0: (UUID: MIG-1111)
  MIG 3g.20gb     Device  1: (UUID: MIG-2222)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)
"""


def test_what_nvidia_smi_tells() -> None:
    assert nvidia_names(WHOLE) == (("0", "1"), ("GPU-aaaa", "GPU-bbbb"))
    names, uuids = nvidia_names(DIVIDED)
    assert names == ("MIG-1111", "MIG-2222", "GPU-bbbb")
    assert uuids == ("GPU-aaaa", "MIG-1111", "MIG-2222", "GPU-bbbb")
    assert nvidia_names("No devices found.\n") == ((), ())


@pytest.mark.parametrize(
    ("environ", "hardware", "vendor", "names"),
    [
        ({}, Hardware(), Vendor.UNKNOWN, ()),
        ({}, FOUR, Vendor.NVIDIA, ("0", "1", "2", "3")),
        ({"CUDA_VISIBLE_DEVICES": "2,3"}, FOUR, Vendor.NVIDIA, ("2", "3")),
        ({"CUDA_VISIBLE_DEVICES": "1,9,2"}, FOUR, Vendor.NVIDIA, ("1",)),
        ({"CUDA_VISIBLE_DEVICES": ""}, FOUR, Vendor.NVIDIA, ()),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,2"}, FOUR, Vendor.NVIDIA, ("0",)),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, FOUR, Vendor.NVIDIA, ()),
        ({"CUDA_VISIBLE_DEVICES": "MIG-1111, GPU-b"}, FOUR, Vendor.NVIDIA, ("MIG-1111", "GPU-b")),
        ({"CUDA_VISIBLE_DEVICES": "5,6"}, Hardware(), Vendor.NVIDIA, ("5", "6")),
        ({}, Hardware(amd=2), Vendor.AMD, ("0", "1")),
        ({"ROCR_VISIBLE_DEVICES": "2,3", "HIP_VISIBLE_DEVICES": "1"}, Hardware(amd=4), Vendor.AMD, ("3",)),
        ({"ROCR_VISIBLE_DEVICES": "3", "HIP_VISIBLE_DEVICES": "5"}, Hardware(amd=4), Vendor.AMD, ()),
        ({"CUDA_VISIBLE_DEVICES": "1"}, Hardware(amd=4), Vendor.AMD, ("1",)),
        ({"HIP_VISIBLE_DEVICES": "2"}, Hardware(), Vendor.AMD, ("2",)),
        ({}, Hardware(intel=2), Vendor.INTEL, ("0", "1")),
        ({"ZE_AFFINITY_MASK": "0.0,0.1"}, Hardware(intel=1), Vendor.INTEL, ("0.0", "0.1")),
        ({"ONEAPI_DEVICE_SELECTOR": "level_zero:1,7"}, Hardware(intel=2), Vendor.INTEL, ("1",)),
        ({"ONEAPI_DEVICE_SELECTOR": "level_zero:gpu"}, Hardware(intel=2), Vendor.INTEL, ("0", "1")),
    ],
)
def test_what_a_program_sees(environ: Any, hardware: Hardware, vendor: Vendor, names: Any) -> None:
    assert visible(environ, hardware)[:2] == (vendor, names)


def test_choosing() -> None:
    there = Devices(Vendor.NVIDIA, ("2", "3"), ("GPU-aaaa", "GPU-bbbb"))
    assert chosen("all", there) == [["2"], ["3"]]
    assert chosen([1, "0"], there) == [["3"], ["2"]]
    assert chosen(([0, 1],), there) == [["2", "3"]]
    assert chosen(["GPU-bb"], there) == [["GPU-bb"]]
    assert chosen([0, 7], Devices(Vendor.UNKNOWN, ())) == [["0"], ["7"]]


@pytest.mark.parametrize(
    ("gpus", "error", "told"),
    [
        (
            2,
            TypeError,
            r"gpus must be \"all\" or a list of devices such as \[0, 1\], one for each worker, not 2",
        ),
        (True, TypeError, "gpus must be"),
        ("0", ValueError, "gpus must be"),
        (b"all", TypeError, "gpus must be"),
        ([], ValueError, "gpus is empty"),
        ([[]], ValueError, "an empty list"),
        ([True], TypeError, "a device in gpus must be a number or a UUID, not True"),
        ([0.0], TypeError, "a device in gpus must be an integer"),
        ([-1], ValueError, "a device in gpus must be at least 0"),
        ([2], ValueError, "gpus names device 2, and this program may use 2, from 0 on: 0, 1"),
        (["GPU-cccc"], ValueError, "gpus names device GPU-cccc, which is not here; there are: GPU-aaaa"),
        (["0,1"], ValueError, "a number or a UUID, not '0,1'"),
        ([0, 0], ValueError, "gpus names 0 more than once"),
        ([[0], [1, "GPU-aaaa"]], ValueError, r"different numbers of devices: \[1, 2\]"),
    ],
)
def test_wrong_choices(gpus: Any, error: type[Exception], told: str) -> None:
    there = Devices(Vendor.NVIDIA, ("0", "1"), ("GPU-aaaa", "GPU-bbbb"))
    with pytest.raises(error, match=told):
        chosen(gpus, there)


def test_all_of_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="this program sees no device"):
        chosen("all", Devices(Vendor.UNKNOWN, ()))


@pytest.mark.parametrize("vendor", list(Vendor))
@pytest.mark.parametrize("names", [("2",), ("2", "3")])
def test_a_worker_sees_the_devices_that_it_was_given(vendor: Vendor, names: tuple[str, ...]) -> None:
    """As whoever reads the variables: each program in it would find exactly these again."""
    hardware = {
        Vendor.NVIDIA: FOUR,
        Vendor.AMD: Hardware(amd=4),
        Vendor.INTEL: Hardware(intel=4),
        Vendor.UNKNOWN: Hardware(),
    }[vendor]
    assert visible(variables(vendor, names), hardware).names == names


def test_looking_at_a_machine_with_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n[ \"$1\" = -L ] && cat <<'END'\n{WHOLE}END\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert devices.of_workers("all") == [(["1"], {"CUDA_VISIBLE_DEVICES": "1"})]


def test_a_tool_that_fails_leaves_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    files = {
        "/dev/kfd": ["/dev/kfd"],
        "/dev/nvidia*": ["/dev/nvidia3", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia7"],
        "/sys/class/kfd/kfd/topology/nodes/*/gpu_id": ["n0", "n1", "n2"],
        "/sys/class/drm/renderD*/device/vendor": ["v0", "v1"],
    }
    texts = {"n0": "0", "n1": "51234", "v0": "0x8086", "v1": "0x10de"}
    monkeypatch.setattr("glob.glob", files.__getitem__)
    monkeypatch.setattr(devices, "_text", lambda path: texts.get(path, ""))
    assert devices.look() == Hardware(nvidia=("0", "1"), amd=1, intel=1)


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert devices._text(str(tmp_path / "none")) == ""
