"""What the documentation of the SDK shows gives the same with both packages, at a stock endpoint.

What one package has serialized by any strategy, the other reads.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from compute_executor.cli.sdk_imports import find
from integration.stock.conftest import World
from integration.stock.peers import HERE, answer

SCRIPTS = HERE / "scripts"


def with_ours(script: str, folder: Path) -> str:
    """The path of a script with its imports changed."""
    old = (SCRIPTS / script).read_text()
    (folder / script).write_text(find(old, {}).apply(old))
    shutil.copy(SCRIPTS / "work.py", folder)
    return str(folder / script)


def test_what_one_package_writes_the_other_reads(world: World, tmp_path: Path) -> None:
    ours = with_ours("strategies.py", tmp_path)
    written = {"theirs": world.sdk.run("strategies.py", "write"), "ours": world.ours.run(ours, "write")}
    for name, document in written.items():
        (tmp_path / name).write_text(json.dumps(document))
    found = [
        world.ours.run(ours, "read", str(tmp_path / "theirs")),
        world.sdk.run("strategies.py", "read", str(tmp_path / "ours")),
    ]
    value = [1, 2.5, "text: with colons\n", None, {"a": [True]}]
    for one in found:
        assert one == {"code": dict.fromkeys(one["code"], 15), "data": dict.fromkeys(one["data"], value)}


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("script", ["examples.py", "attributes.py"])
def test_examples_give_the_same_with_both_packages(world: World, tmp_path: Path, script: str) -> None:
    config = {"engine": "ThreadPoolEngine", "name": "examples"}
    ours = world.ours.start(with_ours(script, tmp_path), world.endpoint.id, config=config)
    theirs = world.sdk.start(script, world.endpoint.id, config=config)
    found, expected = answer(ours, 300), answer(theirs, 300)
    assert found == expected
