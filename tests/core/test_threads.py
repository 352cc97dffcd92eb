"""The pool of threads: order, errors, interrupts, and numbers that do not depend on how many threads there are."""

import threading
import time

import numpy as np
import pytest

from nnmf_runner.core.threads import each, mapped, n_threads, threaded


@pytest.mark.parametrize("n", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(n):
    def late_if_early(i):
        time.sleep(0.02 if i == 0 else 0.0)
        return i

    with threaded(n):
        assert list(mapped(late_if_early, range(20))) == list(range(20))
        assert list(mapped(late_if_early, [])) == []


def test_two_threads_are_at_work_at_once():
    met = threading.Barrier(2, timeout=20)  # which breaks if one part is only begun when another is over
    with threaded(2):
        assert sorted(mapped(lambda i: met.wait(), range(2))) == [0, 1]


def test_the_thread_that_asks_is_one_of_those_at_work():
    met = threading.Barrier(2, timeout=20)

    def meet(i):
        met.wait()
        return threading.get_ident()

    with threaded(2):
        found = {*mapped(meet, range(2))}
    assert len(found) == 2
    assert threading.get_ident() in found


def test_an_interrupt_of_the_thread_that_asks_is_raised_when_no_part_is_under_way():
    running = []

    def work(i):
        running.append(i)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(0.01)
        running.clear()

    with threaded(2):
        with pytest.raises(KeyboardInterrupt):
            each(work, range(50))
        time.sleep(0.02)
        assert len(running) <= 1


def test_threads_are_those_of_the_block_and_one_within_a_part():
    seen = [n_threads()]
    with threaded(2):
        seen += [n_threads(), *mapped(lambda i: n_threads(), range(3))]
        with threaded(3):
            seen.append(n_threads())
        seen.append(n_threads())
        nested = list(mapped(lambda i: list(mapped(lambda j: i + j, range(3))), range(4)))
    assert [*seen, n_threads()] == [1, 2, 1, 1, 1, 3, 2, 1]
    assert nested == [[i, i + 1, i + 2] for i in range(4)]


def test_no_thread_is_left_after_the_block():
    before = threading.active_count()
    with threaded(3):
        each(time.sleep, [0.001] * 8)
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_the_first_error_in_the_order_of_the_items_is_raised_when_no_part_is_under_way():
    running = []

    def fail(i):
        running.append(i)
        time.sleep(0.01)
        running.remove(i)
        if i >= 2:
            raise ValueError(i)

    with threaded(2):
        with pytest.raises(ValueError, match=r"^2$"):
            each(fail, range(50))
        assert not running


def test_who_stops_to_take_results_stops_the_work():
    begun = []
    with threaded(2):
        results = mapped(begun.append, range(50))
        next(results)
        results.close()
        time.sleep(0.02)
        assert len(begun) <= 1 + 3


def test_parts_compute_with_the_settings_of_who_asks_for_them():
    def divide(i):
        return np.ones(3) / np.zeros(3)

    with threaded(2), np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        each(divide, range(4))
    with threaded(2), np.errstate(divide="ignore"):
        assert np.isinf(list(mapped(divide, range(4)))).all()
