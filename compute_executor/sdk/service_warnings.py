"""What Globus Compute warns about in an answer: that data are not treated as high assurance demands."""

from __future__ import annotations

import logging
import warnings
from typing import Any

log: logging.Logger = logging.getLogger(__name__)

HIGH_ASSURANCE = "ha_warning"
"""The field of an answer that has the text."""


def tell_warning(answer: Any) -> None:
    """Warn the program of what an answer warns about, if it does."""
    text = answer.get(HIGH_ASSURANCE) if isinstance(answer, dict) else None
    if not text:
        return
    try:
        warnings.warn(str(text), UserWarning, stacklevel=3)
    except UserWarning:  # warnings are errors here; what was answered has happened all the same
        log.warning("%s", text)
