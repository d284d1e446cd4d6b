"""``python -m compute_executor``: the command line."""

from compute_executor.cli import main

if __name__ == "__main__":
    main()
