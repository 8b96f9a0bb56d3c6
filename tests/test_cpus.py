from threading import get_ident
from time import sleep

import pytest

from undark.cpus import LIMIT, in_threads, threads_of_tile, tiles_at_once


def test_parts_keep_their_order_whichever_is_done_first():
    assert in_threads(lambda n: sleep(0.02 * (3 - n)) or n, range(4)) == [0, 1, 2, 3]


def test_an_error_in_a_part_is_raised():
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda n: 1 / n, [1, 0])


def test_the_limit_of_threads_holds(monkeypatch):
    monkeypatch.setenv(LIMIT, "1")
    assert len({*in_threads(lambda _: sleep(0.01) or get_ident(), range(8))}) == 1


@pytest.mark.parametrize(
    ("cpus", "tiles", "threads"),
    [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 2, 2), (8, 2, 4), (16, 4, 4), (64, 4, 16)],
)
def test_tiles_share_the_cpus(cpus, tiles, threads, monkeypatch):
    monkeypatch.setattr("undark.cpus.usable_cpus", lambda: cpus)
    assert (tiles_at_once(), threads_of_tile()) == (tiles, threads)
