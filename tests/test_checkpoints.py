"""Checkpoints are written atomically."""

import errno
import os

import pytest

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from undark.errors import OutputError, TrainingError  # noqa: E402
from undark.learn.checkpoints import FORMAT, LAST, AtomicStates, check_network, read_state  # noqa: E402
from undark.learn.network import NETWORKS, UNetConfig  # noqa: E402

CONFIG = UNetConfig()


def state(step):
    return {"format": FORMAT, "network": CONFIG.as_dict(), "global_step": step}


def test_a_full_disk_leaves_the_last_good_state(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    states = AtomicStates(None)
    states.save_checkpoint(state(1), tmp_path / LAST)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=f"{LAST}: the disk is full"):
        states.save_checkpoint(state(2), tmp_path / LAST)
    assert read_state(tmp_path, True) == state(1)
    assert [p.name for p in tmp_path.iterdir()] == [LAST]


def test_partial_files_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / ".undark-0123.ckpt").write_bytes(b"torn")
    AtomicStates(None).save_checkpoint(state(1), tmp_path / LAST)
    assert [p.name for p in tmp_path.iterdir()] == [LAST]


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_damaged_state_is_said(tmp_path, content):
    (tmp_path / LAST).write_bytes(content)
    with pytest.raises(TrainingError, match="damaged"):
        read_state(tmp_path, True)
    with pytest.raises(TrainingError, match="no run to resume"):
        read_state(tmp_path / "none", True)


def test_a_state_of_another_network_is_refused(tmp_path):
    AtomicStates(None).save_checkpoint(state(1), tmp_path / LAST)
    with pytest.raises(TrainingError, match="another network"):
        check_network(tmp_path, read_state(tmp_path, True), NETWORKS["residual"])
    with pytest.raises(TrainingError, match="--resume"):
        read_state(tmp_path, False)
