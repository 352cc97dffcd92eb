"""``python -m nnmf_runner`` is ``nnmf-run``."""

import sys

from nnmf_runner.cli import run

if __name__ == "__main__":
    sys.exit(run())
