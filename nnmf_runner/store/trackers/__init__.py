"""Where runs are told of beside their records: a new tracker is a file here and a line in `TRACKERS`."""

from nnmf_runner.store.trackers.base import Tracked, Tracker
from nnmf_runner.store.trackers.mlflow import MLflow
from nnmf_runner.store.trackers.tensorboard import TensorBoard

TRACKERS: dict[str, type[Tracker]] = {tracker.name: tracker for tracker in (Tracker, MLflow, TensorBoard)}

__all__ = ["TRACKERS", "Tracked", "Tracker"]
