"""Plans: whole files, whoever writes them at the same time, and what a sweep wants and calls its runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from nnmf_runner.store.plan import Wanted, labels_of, plan_folder, read_plans, write_plan


def test_launchers_of_the_same_sweep_may_write_its_plan_at_the_same_time(tmp_path):
    wanted = [Wanted(f"{i:016x}", f"seed={i}") for i in range(50)]
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: write_plan(tmp_path, wanted), range(400)))
    assert list(plan_folder(tmp_path).iterdir()) == list(paths)
    assert read_plans(tmp_path) == wanted


def test_a_plan_is_told_by_what_it_wants_and_all_plans_are_read_together(tmp_path):
    first, second, third = (Wanted(letter * 16, f"seed={letter}") for letter in "abc")
    assert write_plan(tmp_path, [first, second]) == write_plan(tmp_path, [second, first])
    write_plan(tmp_path, [second, third])
    assert len([*plan_folder(tmp_path).iterdir()]) == 2
    assert sorted(read_plans(tmp_path), key=lambda run: run.name) == [first, second, third]
    assert read_plans(tmp_path / "absent") == []


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3"])
def test_a_damaged_plan_is_as_good_as_none(tmp_path, text):
    wanted = [Wanted("a" * 16, "seed=0")]
    write_plan(tmp_path, wanted)
    (plan_folder(tmp_path) / "0.json").write_text(text)
    assert read_plans(tmp_path) == wanted


@pytest.mark.parametrize(
    ("jobs", "labels"),
    [
        ([], []),
        ([["a=1", "b=2"]], ["a=1 b=2"]),
        ([["a=1", "b=2"], ["a=1", "b=3"]], ["b=2", "b=3"]),
        ([["a=1"], ["a=1", "b=3"]], ["", "b=3"]),
    ],
)
def test_a_job_is_called_by_what_not_all_have(jobs, labels):
    assert labels_of(jobs) == labels
