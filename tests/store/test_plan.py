"""Plans: whole files, whoever writes them at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from nnmf_runner.store.plan import Wanted, plan_folder, read_plans, write_plan


def test_launchers_of_the_same_sweep_may_write_its_plan_at_the_same_time(tmp_path):
    wanted = [Wanted(f"{i:016x}", f"seed={i}") for i in range(50)]
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: write_plan(tmp_path, wanted), range(400)))
    assert list(plan_folder(tmp_path).iterdir()) == list(paths)
    assert read_plans(tmp_path) == wanted
