"""The environment of the stock peers: a Python that they were released for, their packages, nothing of ours."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from integration import pythons
from integration.debian import CannotInstall

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
PREFERRED = "3.11."


def stock_python(*requirements: str) -> Path:
    """The interpreter of an environment with these packages, or with those of the file; made when it is needed.
    Raises CannotInstall."""
    found = pythons.found()
    version = next((one for one in found if one.startswith(PREFERRED)), next(iter(found)))
    name = "-".join(requirements).replace("==", "-") or "stock"
    folder = pythons.ENVIRONMENTS / f"{name}-{version}"
    stamp, content = folder / "made-of", "\n".join(requirements) or REQUIREMENTS.read_text()
    wanted = requirements or ("-r", str(REQUIREMENTS))
    if not stamp.exists() or stamp.read_text() != content:
        shutil.rmtree(folder, ignore_errors=True)
        pythons.ENVIRONMENTS.mkdir(exist_ok=True)
        (pythons.ENVIRONMENTS / ".gitignore").write_text("*\n")
        subprocess.run([str(found[version]), "-m", "venv", str(folder)], check=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", *wanted]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CannotInstall(f"the stock peers cannot be installed: {done.stderr.strip()[-300:]}")
        stamp.write_text(content)
    return folder / "bin" / "python"
