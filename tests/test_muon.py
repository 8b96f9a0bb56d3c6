"""The optimiser equals torch's within bfloat16's precision."""

import pytest

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from undark.learn.muon import Muon, orthogonal  # noqa: E402

sizes = st.integers(1, 60)


def matrix(rows, columns, seed):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)  # the first call of torch's SVD loads it
@given(sizes, sizes, st.integers(0, 99), st.floats(1e-6, 1e6))
def test_singular_values_come_near_to_one_and_vectors_stay(rows, columns, seed, size):
    given_one = matrix(rows, columns, seed)
    left, values, right = torch.linalg.svd(given_one, full_matrices=False)
    made = left.T @ orthogonal([size * given_one])[0] @ right.T
    assert torch.allclose(made, torch.diag(made.diagonal()), atol=5e-3)
    strong = values > 0.02 * values.norm()
    assert made.diagonal()[strong].numpy() == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize("shape", [(24, 216), (64, 12)])
def test_steps_are_torchs(shape):
    torches, ours = (torch.nn.Parameter(matrix(*shape, seed=0)) for _ in range(2))
    optimisers = [
        torch.optim.Muon([torches], lr=0.01, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        Muon([ours], 0.01),
    ]
    start = ours.detach().clone()
    for step in range(5):
        torches.grad = ours.grad = matrix(*shape, seed=step + 1)
        for optimiser in optimisers:
            optimiser.step()
    moved, expected = (p.detach() - start for p in (ours, torches))
    assert float((moved - expected).norm() / expected.norm()) < 0.03
    assert float(moved.abs().mean()) > 0.002
