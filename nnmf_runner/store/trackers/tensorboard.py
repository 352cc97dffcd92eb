"""TensorBoard: a folder of events for every run, written whole."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from nnmf_runner.store.files import folder_for, read_json, user_path, whole_folder
from nnmf_runner.store.record import RECORD
from nnmf_runner.store.trackers.base import RECORD_COPY, Kept, Tracked, Tracker, check_place


@dataclass
class TensorBoard(Tracker):
    """TensorBoard: options, metrics by layer and iteration, figures and the record of every run.

    Needs ``pip install 'nnmf-runner[tensorboard]'``, which writes what ``tensorboard --logdir FOLDER`` shows.

    Parameters
    ----------
    folder : str, optional
        Where the events go; by default the folder ``tensorboard`` in `output`.
    figures : bool
        Whether the figures of every run are drawn, as images that are shown beside its curves; that may take longer
        than a fit of small data.
    """

    name: ClassVar[str] = "tensorboard"
    package: ClassVar[str | None] = "tensorboardX"
    folder: str | None = None
    figures: bool = True

    def __post_init__(self) -> None:
        check_place(self.folder, "tracking.folder")

    def open(self, experiment: Path) -> Kept:
        """The folder of this experiment, which need not be there yet; raises if nothing could be written there."""
        import tensorboardX  # noqa: F401

        own = experiment.parent / "tensorboard"
        root = own if self.folder is None else user_path(self.folder, "tracking.folder")
        folder = root / experiment.name
        with folder_for(folder / RECORD_COPY), tempfile.TemporaryDirectory(dir=folder):
            return _Events(folder, self.figures)


class _Events:
    """A folder of events for every run, each with the run's record."""

    def __init__(self, folder: Path, figures: bool) -> None:
        self.folder, self.figures = folder, figures

    def has(self, run: Tracked) -> bool:
        try:
            return bool(read_json(self._of(run) / RECORD_COPY) == run.record)
        except ValueError:
            return False

    def add(self, run: Tracked) -> None:
        """Write everything, in place of what there is of an earlier end of the run."""
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        with whole_folder(self._of(run)) as scratch:
            with SummaryWriter(str(scratch)) as writer:
                for summary in hparams(run.options, run.metrics):
                    writer.file_writer.add_summary(summary)
                for name, value in run.metrics.items():
                    writer.add_scalar(name, value, 0)
                for name, values in run.history.items():
                    for step, number in enumerate(values):
                        writer.add_scalar(name, float(number), step)
                if self.figures:
                    _add_figures(writer, run)
            shutil.copy(run.folder / RECORD, scratch / RECORD_COPY)

    def _of(self, run: Tracked) -> Path:
        return self.folder / f"{run.title.replace(' ', '_')}_{run.folder.name[:8]}"


def _add_figures(writer: Any, run: Tracked) -> None:
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        for path in run.draw(Path(folder)):
            with Image.open(path) as image:
                writer.add_image(f"figures/{path.stem}", np.asarray(image.convert("RGB")), dataformats="HWC")
