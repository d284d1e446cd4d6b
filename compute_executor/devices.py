"""Which GPUs this program may use, and the environment variables by which a worker sees some of them only.

    look (what the system tells) -> visible (what is left of it to this program) -> chosen (by the user) -> variables

No library of a device is loaded: a program that has asked CUDA what there is keeps a context and memory on each. All
but :func:`look` is pure. Sources: CUDA_VISIBLE_DEVICES in the CUDA C++ programming guide; ROCR_VISIBLE_DEVICES and
HIP_VISIBLE_DEVICES in "GPU isolation techniques" of ROCm; ZE_AFFINITY_MASK in the specification of Level Zero and
ONEAPI_DEVICE_SELECTOR in that of the oneAPI DPC++ compiler.
"""

from __future__ import annotations

import contextlib
import enum
import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from compute_executor import checks

NVIDIA_SMI_PATIENCE = 20.0
"""Seconds for ``nvidia-smi -L``: without its persistence daemon the driver is loaded for each call, some seconds for
a machine of many devices."""

_NONE = frozenset({"-1", "NoDevFiles", "void", "none"})
"""Entries that stand for no device, of CUDA and of schedulers. What comes behind one is not seen either."""

_NAME = re.compile(r"[\w.:/-]{1,200}", re.ASCII)
_GPU = re.compile(r"^GPU (\d+): .*\(UUID: ([^)\s]+)\)")
_MIG = re.compile(r"^\s+MIG .*\(UUID: ([^)\s]+)\)")
_SELECTED = re.compile(r"level_zero:([\d,.]+)")


class Vendor(enum.Enum):
    """Whose devices there are, which decides the variables. The value is what errors call it."""

    NVIDIA = "NVIDIA"
    AMD = "AMD"
    INTEL = "Intel"
    UNKNOWN = "unknown"


class Hardware(NamedTuple):
    """What the system tells of devices, whatever the environment says. ``nvidia``: the names of all, in CUDA's terms;
    ``uuids``: of those and their parts, if they are known; ``amd``, ``intel``: how many."""

    nvidia: tuple[str, ...] = ()
    uuids: tuple[str, ...] = ()
    amd: int = 0
    intel: int = 0


class Devices(NamedTuple):
    """The devices that a program may use, by the names under which the variables of their vendor know them."""

    vendor: Vendor
    names: tuple[str, ...]
    uuids: tuple[str, ...] = ()


# -- what there is ------------------------------------------------------------------------------------------


def visible(environ: Mapping[str, str], hardware: Hardware) -> Devices:
    """Return the devices that a program with this environment may use on such a machine.

    >>> visible({"CUDA_VISIBLE_DEVICES": "2,3"}, Hardware(nvidia=("0", "1", "2", "3"))).names
    ('2', '3')
    """
    vendor = _vendor(environ, hardware)
    names: Sequence[str]
    if vendor is Vendor.NVIDIA:
        listed = _entries(environ.get("CUDA_VISIBLE_DEVICES"))
        names = hardware.nvidia if listed is None else _existing(listed, len(hardware.nvidia))
    elif vendor is Vendor.AMD:
        names = _of_amd(environ, hardware.amd)
    elif vendor is Vendor.INTEL:
        names = _of_intel(environ, hardware.intel)
    else:
        names = ()
    return Devices(vendor, tuple(names), hardware.uuids)


def _vendor(environ: Mapping[str, str], hardware: Hardware) -> Vendor:
    """By the hardware; where none is found, by the variables: a container may hide the files."""
    found = [
        (Vendor.NVIDIA, hardware.nvidia, ("CUDA_VISIBLE_DEVICES",)),
        (Vendor.AMD, hardware.amd, ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")),
        (Vendor.INTEL, hardware.intel, ("ZE_AFFINITY_MASK",)),
    ]
    by_hardware = (vendor for vendor, there, _ in found if there)
    by_variables = (vendor for vendor, _, names in found if any(environ.get(name) for name in names))
    return next(by_hardware, next(by_variables, Vendor.UNKNOWN))


def _entries(value: str | None) -> list[str] | None:
    """Return the devices that a variable lists; None: it is not set, so all are seen."""
    if value is None:
        return None
    found = []
    for entry in (one.strip() for one in value.split(",")):
        if not entry or entry in _NONE:
            break
        found.append(entry)
    return found


def _existing(listed: list[str], count: int) -> list[str]:
    """Return those up to the first number that is no device; ``count`` is 0 if it is not known how many there are."""
    for index, entry in enumerate(listed):
        if entry.isdecimal() and 0 < count <= int(entry):
            return listed[:index]
    return listed


def _of_amd(environ: Mapping[str, str], count: int) -> list[str]:
    """ROCR_VISIBLE_DEVICES comes first; the numbers of HIP's variable count what that has left."""
    base = _entries(environ.get("ROCR_VISIBLE_DEVICES") or None)
    base = [str(number) for number in range(count)] if base is None else _existing(base, count)
    second = environ.get("HIP_VISIBLE_DEVICES") or environ.get("CUDA_VISIBLE_DEVICES") or None
    listed = _entries(second)
    if listed is None:
        return base
    if not base:
        return listed
    return [base[int(entry)] if entry.isdecimal() else entry for entry in _existing(listed, len(base))]


def _of_intel(environ: Mapping[str, str], count: int) -> list[str]:
    masked = _entries(environ.get("ZE_AFFINITY_MASK") or None)
    base = [str(number) for number in range(count)] if masked is None else masked
    selected = _SELECTED.fullmatch(environ.get("ONEAPI_DEVICE_SELECTOR", ""))
    if selected is None:
        return base
    numbers = [int(one) for one in selected[1].split(",") if one.isdecimal()]
    return [base[number] for number in numbers if number < len(base)]


def look() -> Hardware:
    """Return what the system tells of devices on this machine. Takes as long as ``nvidia-smi -L`` where that is
    found."""
    nvidia, uuids = _nvidia()
    return Hardware(nvidia, uuids, _count_amd(), _count_intel())


def _nvidia() -> tuple[tuple[str, ...], tuple[str, ...]]:
    if program := shutil.which("nvidia-smi"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run(
                [program, "-L"],
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=NVIDIA_SMI_PATIENCE,
                check=True,
            )
            return nvidia_names(told.stdout)
    found = [path for path in glob.glob("/dev/nvidia*") if path.removeprefix("/dev/nvidia").isdecimal()]
    return tuple(str(number) for number in range(len(found))), ()


def nvidia_names(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the devices that ``nvidia-smi -L`` tells of, and all UUIDs. A device that is divided (MIG) counts as its
    parts, which only a UUID names; then whole ones are named so too, because CUDA counts in another order."""
    parts: dict[str, list[str]] = {}
    whole = ""
    for line in text.splitlines():
        if found := _GPU.match(line):
            whole = found[2]
            parts[whole] = []
        elif (found := _MIG.match(line)) and whole:
            parts[whole].append(found[1])
    uuids = [uuid for gpu, its in parts.items() for uuid in (gpu, *its)]
    if not any(parts.values()):
        return tuple(str(number) for number in range(len(parts))), tuple(uuids)
    return tuple(uuid for gpu, its in parts.items() for uuid in its or [gpu]), tuple(uuids)


def _count_amd() -> int:
    """Return the GPUs among the nodes of the kernel's driver; processors are nodes as well, with the number 0."""
    if not glob.glob("/dev/kfd"):  # a container may have the folder and not the device
        return 0
    return sum(
        _text(path) not in ("", "0") for path in glob.glob("/sys/class/kfd/kfd/topology/nodes/*/gpu_id")
    )


def _count_intel() -> int:
    vendors = glob.glob("/sys/class/drm/renderD*/device/vendor")
    return sum(_text(path) == "0x8086" for path in vendors)


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


# -- what a user chooses ------------------------------------------------------------------------------------


def of_workers(gpus: Any) -> list[tuple[list[str], dict[str, str]]]:
    """Return the devices of each worker, and the variables by which it sees no other, by what this program sees of
    this machine. Raises TypeError and ValueError."""
    there = visible(os.environ, look())
    return [(names, variables(there.vendor, names)) for names in chosen(gpus, there)]


def chosen(gpus: Any, devices: Devices) -> list[list[str]]:
    """Return the devices of each worker: "all" is one for each of ``devices``; else a list of devices, or of lists of
    them. A number counts ``devices`` from 0, as libraries do in this program; text is the UUID of a device or of a
    part of one. Raises TypeError and ValueError."""
    if gpus == "all":
        if not devices.names:
            raise ValueError(
                'gpus="all": this program sees no device. None was told of by nvidia-smi -L, /dev/nvidia*, /dev/kfd '
                "or /dev/dri, or the environment (CUDA_VISIBLE_DEVICES and the like) hides them; name them if they "
                "are there all the same: gpus=[0, 1]"
            )
        return [[name] for name in devices.names]
    if isinstance(gpus, str):
        raise ValueError(  # noqa: TRY004 - another text could have been right
            f'gpus must be "all" or a list of devices such as [0, 1], not {gpus!r:.100}'
        )
    if not isinstance(gpus, Iterable) or isinstance(gpus, (bytes, Mapping)):
        raise TypeError(
            f'gpus must be "all" or a list of devices such as [0, 1], one for each worker, not {gpus!r:.100} of type '
            f"{type(gpus).__name__}"
        )
    sets = [_one_set(entry, devices) for entry in gpus]
    _check_sets(sets)
    return sets


def _one_set(entry: Any, devices: Devices) -> list[str]:
    if isinstance(entry, str) or not isinstance(entry, Iterable):
        return [_name(entry, devices)]
    names = [_name(one, devices) for one in entry]
    if not names:
        raise ValueError("gpus has an empty list: each worker needs a device")
    return names


def _name(entry: Any, devices: Devices) -> str:
    if isinstance(entry, str) and not entry.isdecimal():
        return _uuid(entry, devices)
    if isinstance(entry, bool):
        raise TypeError(f"a device in gpus must be a number or a UUID, not {entry!r}")
    number = checks.integer("a device in gpus", int(entry) if isinstance(entry, str) else entry, least=0)
    if not devices.names:
        return str(number)
    if number >= len(devices.names):
        raise ValueError(
            f"gpus names device {number}, and this program may use {len(devices.names)}, from 0 on: "
            f"{', '.join(devices.names)}"
        )
    return devices.names[number]


def _uuid(entry: str, devices: Devices) -> str:
    if not _NAME.fullmatch(entry):
        raise ValueError(f"a device in gpus must be a number or a UUID, not {entry!r:.100}")
    known = devices.uuids
    if entry.startswith(("GPU-", "MIG-")) and known and not any(one.startswith(entry) for one in known):
        raise ValueError(f"gpus names device {entry}, which is not here; there are: {', '.join(known)}")
    return entry


def _check_sets(sets: list[list[str]]) -> None:
    if not sets:
        raise ValueError('gpus is empty: give a list of devices such as [0, 1], or "all", or leave it out')
    every = [name for names in sets for name in names]
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise ValueError(
            f"gpus names {', '.join(twice)} more than once; several workers on each device: gpus=[...] with more "
            "max_workers"
        )
    if len({len(names) for names in sets}) > 1:
        raise ValueError(f"gpus gives workers different numbers of devices: {list(map(len, sets))}")


def variables(vendor: Vendor, names: Sequence[str]) -> dict[str, str]:
    """Return the environment variables by which a program sees these devices and no other.

    ROCR_VISIBLE_DEVICES is applied before HIP's, and ZE_AFFINITY_MASK before SYCL's, so the latter count from 0.

    >>> variables(Vendor.AMD, ["2", "3"])["HIP_VISIBLE_DEVICES"]
    '0,1'
    """
    listed = ",".join(names)
    positions = ",".join(str(number) for number in range(len(names)))
    if vendor is Vendor.NVIDIA:
        return {"CUDA_VISIBLE_DEVICES": listed}
    if vendor is Vendor.AMD:
        return {
            "ROCR_VISIBLE_DEVICES": listed,
            "HIP_VISIBLE_DEVICES": positions,
            "CUDA_VISIBLE_DEVICES": positions,
        }
    if vendor is Vendor.INTEL:
        return {"ZE_AFFINITY_MASK": listed, "ONEAPI_DEVICE_SELECTOR": "level_zero:gpu"}
    return dict.fromkeys(("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"), listed)
