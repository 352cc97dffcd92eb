"""Measured comparisons with other packages: ``python -m tests.benchmarks [--quick]``, from the repository's root.

BLAS runs on one thread here, so that the numbers compare algorithms and not schedulers.
"""

import os

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# A BLAS reads these when numpy loads it, so they are set before anything imports numpy.
os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
