"""Run all comparisons and print them as one table."""

from __future__ import annotations

import argparse
import time

from tests.benchmarks.large import large_rows
from tests.benchmarks.rows import QUICK, Effort, Toys, evaluation_rows, floor_rows, nnls_rows, sklearn_rows
from tests.benchmarks.starting import starting_rows
from tests.benchmarks.tensors import tensor_rows
from tests.benchmarks.timing import Row, machine, table


def small_rows(effort: Effort, toys: Toys, notes: list[str]) -> list[Row]:
    """All comparisons on small dense data, and what processes take beside fits."""
    return [
        *nnls_rows(effort),
        *evaluation_rows(effort, toys, notes),
        *floor_rows(effort, toys, notes, supervised=False),
        *floor_rows(effort, toys, notes, supervised=True),
        *sklearn_rows(effort, toys),
        *starting_rows(),
    ]


def main() -> None:
    """Measure, then print machine, table and notes."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--text", action="store_true", help="no more than the comparisons on sparse text")
    only.add_argument("--tensors", action="store_true", help="no more than the comparisons on tensors")
    parser.add_argument("--quick", action="store_true", help="small data and short budgets")
    arguments = parser.parse_args()
    effort = QUICK if arguments.quick else Effort()
    began, toys, notes = time.perf_counter(), Toys(), []
    print(machine(), flush=True)
    rows = [] if arguments.text or arguments.tensors else small_rows(effort, toys, notes)
    rows += [] if arguments.tensors else large_rows(effort, notes)
    rows += [] if arguments.text else tensor_rows(effort, notes)
    print(f"\n{table(rows)}\n")
    print("\n".join(f"- {note}" for note in notes))
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
