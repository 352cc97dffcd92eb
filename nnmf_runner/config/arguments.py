"""The command lines' arguments, of which those of `nnmf-run` are flags and overrides in any order."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from typing import NoReturn

from nnmf_runner import __version__
from nnmf_runner.core.checks import InputError

# Columns of help texts.
WIDTH = 100
# What `--cfg` and `--info` can be asked for.
CFG = ("job", "hydra", "all")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are bad input like any other, and that knows the version."""

    def __init__(self, prog: str, description: str = "", **options: bool) -> None:
        layout = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=30, width=WIDTH)
        super().__init__(prog, description=description, formatter_class=layout, allow_abbrev=False, **options)  # type: ignore[arg-type]
        self.add_argument("--version", action="version", version=f"{prog} {__version__}", help="print the version")

    def error(self, message: str) -> NoReturn:
        """Refuse an argument in one line."""
        raise InputError(f"{message.rstrip('.')}. {self.prog} --help lists all options.")


def run_parser() -> Parser:
    """Make the parser of `nnmf-run`."""
    parser = Parser("nnmf-run", add_help=False)
    parser.usage = "nnmf-run [flags] [name=value ...]"
    parser.add_argument("overrides", nargs="*", metavar="name=value", help="an option of the run, as listed below")
    add = parser.add_argument
    add("-m", "--multirun", action="store_true", help="sweep: run every combination of values like seed=0,1,2")
    add("-p", "--package", metavar="KEY", help="let --cfg print one part, such as -p method")
    add("--resolve", action="store_true", help="let --cfg print values in place of what they refer to")
    add = parser.add_mutually_exclusive_group().add_argument
    add("-h", "--help", action="store_true", help="print this; with method=NAME, all options of that method")
    add("-c", "--cfg", metavar="WHAT", choices=CFG, help=f"print the configuration and stop: {', '.join(CFG)}")
    add("-i", "--info", metavar="WHAT", choices=INFO, help=f"print how it is composed: {', '.join(INFO)}")
    add("--hydra-help", action="store_true", help="print the help of Hydra, which composes configurations")
    add("-sc", "--shell-completion", action="store_true", help="complete words in a shell, see --hydra-help")
    return parser


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the arguments of `nnmf-run`; raise an `InputError` at a flag that does not exist, or not beside another."""
    parser, following = run_parser(), [*arguments, ""][1:]
    known = parser.parse_intermixed_args(
        [
            "--info=all" if argument in ("-i", "--info") and value not in INFO else argument
            for argument, value in zip(arguments, following, strict=True)
        ]
    )
    for flag in known.overrides:
        if flag.startswith("-"):  # behind ``--``, which would make it one of Hydra's
            parser.error(f"unrecognized arguments: {flag}")
    for name in ("package", "resolve"):
        if getattr(known, name) and not known.cfg:
            parser.error(f"--{name} goes with --cfg alone")
    return known
