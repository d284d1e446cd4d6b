"""``python -m compute_executor.service --state FOLDER [--embedded]``: the service process."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from compute_executor.surroundings import neutral


def main(arguments: list[str]) -> int:
    """Run a service until it is told to end; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m compute_executor.service", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the folder where everything is kept")
    parser.add_argument("--embedded", action="store_true", help="go to the background; end when idle")
    parser.add_argument(
        "--held", action="store_true", help="run no stored task before a client comes to run some"
    )
    parser.add_argument("--ready", type=int, help="descriptor of a pipe: told when it serves, or why not")
    chosen = parser.parse_args(arguments)
    if chosen.embedded and os.fork():
        # The caller's child ends here, before anything is imported or opened. The service is nobody's child: no
        # caller has to reap it, and with no session of its own to lead it can never get a terminal.
        os._exit(0)
    if chosen.embedded:
        neutral()
    from compute_executor.errors import InvalidRequest
    from compute_executor.local import config
    from compute_executor.service.limits import limits_of
    from compute_executor.service.process.run import ServiceSettings, run
    from compute_executor.service.process.starter import StartNotifier

    try:
        limits = limits_of(config.load().limits)
    except InvalidRequest as error:
        StartNotifier(chosen.ready).failed(error)
        return 1
    settings = ServiceSettings(
        folder=chosen.state, embedded=chosen.embedded, held=chosen.held, ready=chosen.ready, limits=limits
    )
    return run(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
