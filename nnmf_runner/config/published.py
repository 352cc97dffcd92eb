"""Values that publications report, from the files of `conf/experiment/published`.

They belong to an experiment and not to its runs: tables join them when records are collected, by the file that the
records name.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnmf_runner.core.checks import InputError

# What an entry of such a file says beside its values.
CELL = ("regime", "layers", "method")
_FOLDER = "experiment/published"


@dataclass(frozen=True)
class Published:
    """What one publication reports.

    An entry holds values of metrics by their names, with the `CELL` that they are of, with ``layer`` where they are not
    those of the last one, and with options by their full names, such as ``dataset.noise``, where others are not meant.
    """

    dataset: str | None  # of which the values are, where the experiment can run on others
    entries: list[dict[str, Any]]

    def values(
        self, regime: str, layers: str, method: str, layer: int | None = None, options: Collection[str] = ()
    ) -> dict[str, float]:
        """Published metrics of a layer of a cell, by default of the last; empty if there are none.

        `options` are those of the run, as texts ``name=value``.
        """
        cell, last = dict(zip(CELL, (regime, layers, method), strict=True)), layers.count("-")
        for entry in self.entries:
            is_here = all(str(entry.get(key)) == value for key, value in cell.items())
            is_here &= all(f"{key}={value}" in options for key, value in entry.items() if _is_option(key))
            if is_here and entry.get("layer", last) == (last if layer is None else layer):
                return {key: float(entry[key]) for key in _metrics(entry)}
        return {}


def _is_option(key: str) -> bool:
    return "." in key


def _metrics(entry: dict[str, Any]) -> list[str]:
    """What an entry has values of."""
    return [key for key in entry if key not in (*CELL, "layer") and not _is_option(key)]


def published_names() -> list[str]:
    """The files of published values that there are."""
    return list(conf_files(_FOLDER))


@functools.cache
def published(name: str | None) -> Published:
    """The values of a file; none where there is no such file (any more)."""
    path = conf_files(_FOLDER).get(str(name))
    if path is None:
        return Published(None, [])
    from omegaconf import OmegaConf  # the schema is known without it
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # of what OmegaConf reads files with

    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path))
        for entry in content["values"]:
            _ = [entry[key] for key in CELL], [float(entry[key]) for key in _metrics(entry)]
    except (KeyError, TypeError, ValueError, AttributeError, YAMLError, OmegaConfBaseException) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{path} is not a file of published values ({type(error).__name__}: {line}).") from None
    return Published(content.get("dataset"), content["values"])


def conf_files(folder: str) -> dict[str, Path]:
    """The files of a folder of the configuration by their names, sorted."""
    return {path.stem: path for path in sorted(Path(conf_dir(), folder).glob("*.yaml"))}


def conf_dir() -> str:
    """Absolute folder of the configuration files: in the installed package, or in the repository."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return str(installed if installed.is_dir() else package.parent / "conf")
