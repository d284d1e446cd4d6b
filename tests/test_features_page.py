"""Each test that docs/features.md names as a proof is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\|(?! ?\||-)(.*)\|$", re.MULTILINE)
PROOF = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows() -> list[list[str]]:
    text = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    return [[cell.strip() for cell in row.split("|")] for row in ROW.findall(text)]


def is_there(path: str, name: str) -> bool:
    file = ROOT / path if path.startswith("integration/") else ROOT / "tests" / path
    return (
        file.exists()
        and re.search(rf"^(async )?def {name}\(", file.read_text(encoding="utf-8"), re.M) is not None
    )


def test_every_row_has_its_proof_or_says_no() -> None:
    found = rows()
    assert len(found) > 40
    assert [row for row in found if len(row) != 4] == []
    assert [row for row in found if not PROOF.search(row[3]) and row[3] != "no"] == []
    proofs = [proof for row in found for proof in PROOF.findall(row[3])]
    assert [proof for proof in proofs if not is_there(*proof)] == []
