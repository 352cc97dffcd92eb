"""The queue of Slurm, told by stand-ins for its commands."""

from __future__ import annotations

import os

import pytest

from nnmf_runner.core.checks import InputError
from nnmf_runner.running import queues


def test_slurms_queue_is_read_and_what_fails_is_unknown(tmp_path, monkeypatch):
    tool = tmp_path / "squeue"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    queue = queues.SlurmQueue("nnmf-abc")
    for script, count in [
        ('[ "$3" = --name=nnmf-abc ] && echo 4_1 && echo "4_[2-9%4]"', 2),
        ("true", 0),
        ("echo down >&2; exit 1", None),
    ]:
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        assert queue.count() == count
    tool.write_text('#!/bin/sh\nfor option; do [ "$option" != --states=all ] || echo 4_1; done\n')
    assert (queue.count(), queue.count(ended=True)) == (0, 1)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert queue.count() is None


def test_more_jobs_than_slurm_takes_are_refused_with_what_to_do(tmp_path, monkeypatch):
    tool = tmp_path / "scontrol"
    tool.write_text("#!/bin/sh\necho 'MaxArrayTasks = 7'\necho 'MaxArraySize            = 1001'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    queue = queues.SlurmQueue("nnmf-abc")
    queue.check(1001, 100_000)
    with pytest.raises(InputError, match=r"^10000 jobs .* the 1001 .*: runs_per_job=100 or more\.$"):
        queue.check(10_000, 100_000)
    tool.unlink()
    queue.check(10_000, 100_000)  # nobody knows
