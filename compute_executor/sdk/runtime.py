"""What a submit says of the Python that it comes from: endpoints may choose an environment by it."""

from __future__ import annotations

import platform
import sys
from typing import Any

from compute_executor._version import __version__

SDK = "4.19.0"
"""The release of the stock SDK that is spoken. Endpoints read it as a version (PEP 440), local part included."""


def user_runtime() -> dict[str, Any]:
    """Return what the stock SDK tells of its own process with every submit; endpoints may choose an environment by
    it."""
    from globus_sdk import __version__ as globus_sdk_version

    return {
        "globus_compute_sdk_version": f"{SDK}+compute.executor.{__version__}",
        "globus_sdk_version": globus_sdk_version,
        "python_version": sys.version,
        "python": {
            "version": platform.python_version(),
            "version_description": sys.version,
            "version_tuple": list(sys.version_info[:3]),
            "version_info": list(sys.version_info),
            "implementation": platform.python_implementation(),
            "compiler": platform.python_compiler(),
        },
        "platform": {
            "architecture": list(platform.architecture()),
            "machine": platform.machine(),
            "node": platform.node(),
            "platform": platform.platform(),
            "processor": platform.processor(),
            "release": platform.release(),
        },
    }
