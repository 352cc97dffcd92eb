"""From the command line of `nnmf-apply` to a fitted model and the new data that it meets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnmf_runner.config.arguments import Parser
from nnmf_runner.config.cells import resolve
from nnmf_runner.config.composition import expanded
from nnmf_runner.config.engine import compose, register_schema
from nnmf_runner.core.checks import InputError
from nnmf_runner.datasets import Source
from nnmf_runner.store.files import user_path


@dataclass(frozen=True)
class Application:
    """The folder of a fitted model, new data with the seed that draws them, and a new folder for the results."""

    run: Path
    source: Source
    seed: int
    output: Path


def read_application(arguments: Sequence[str]) -> Application:
    """Read the command line of `nnmf-apply`; an `InputError` says what of it is not acceptable."""
    parser = Parser(
        "nnmf-apply",
        "Apply a fitted model to new data: write codes.csv, errors.csv and, of a model with labels, labels.csv.\n\n"
        "example: nnmf-apply outputs/runs/3f/3f2c... dataset=file dataset.path=new.npz output=applied\n"
        "         nnmf-apply outputs/runs/3f/3f2c... dataset=text dataset.path=letters",
    )
    parser.usage = "nnmf-apply RUN dataset=NAME [dataset.name=value ...] [output=FOLDER]"
    add = parser.add_argument
    add("run", metavar="RUN", help="folder of a run, such as nnmf-run prints, or of a saved model")
    data = "the new data, see nnmf-run --help dataset=file; output=FOLDER, by default RUN-applied; seed=N of drawn data"
    add("options", metavar="name=value", nargs="*", help=data)
    known = parser.parse_args(arguments)
    for word in known.options:
        if not re.match(r"[~+]*(dataset[.=]|(seed|output)=)", word):
            raise InputError(f"{word} is no option of new data. Expected output, seed or those of dataset.")
    if not any(word.startswith("dataset=") for word in known.options):
        raise InputError("dataset has to be given. Expected new data such as dataset=file dataset.path=new.npz.")
    outputs = [word.partition("=")[2] for word in known.options if word.startswith("output=")]
    if len(outputs) > 1 or "" in outputs:
        raise InputError(f"output is given as {', '.join(outputs) or 'nothing'}. Expected one new folder.")
    run = user_path(known.run, "run")
    register_schema()
    config = resolve(compose(expanded([word for word in known.options if not word.startswith("output=")])))
    output = user_path(outputs[0] if outputs else f"{run.resolve().name}-applied", "output")
    return Application(run, config.dataset, config.seed, output)
