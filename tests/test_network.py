import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from undark.learn.export import halo, measured_halo  # noqa: E402
from undark.learn.network import (  # noqa: E402
    NETWORKS,
    UNet,
    UNetConfig,
    bilinear_demosaic,
    split_layouts,
)
from undark.sensor.cfa import RGGB, X_TRANS, mosaic, pack  # noqa: E402
from undark.sensor.kind import BAYER_KIND, X_TRANS_KIND  # noqa: E402

SMALL = UNetConfig(widths=(8, 12, 16), encoder=(1, 1, 1), decoder=(1, 1))


def _trained_looking(config, seed=0):
    """A network whose zero-initialised layers hold something too."""
    torch.manual_seed(seed)
    network = UNet(config).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight) / weight.shape[1] ** 0.5)
    return network


def test_size_and_colours():
    made = UNet(UNetConfig())(torch.rand(2, 8, 32, 48))
    assert made.shape == (2, 3, 64, 96)
    assert UNet(UNetConfig(cell=3))(torch.rand(1, 18, 16, 16)).shape == (1, 3, 48, 48)
    assert UNet(UNetConfig(cell=1))(torch.rand(1, 6, 16, 16)).shape == (1, 3, 16, 16)
    for config in NETWORKS.values():
        assert UNet(config)(torch.rand(1, 8, 16, 16)).shape == (1, 3, 32, 32)


def test_a_picture_stays_as_it_is():
    given = torch.rand(1, 6, 16, 16)
    with torch.no_grad():
        assert torch.allclose(UNet(UNetConfig(cell=1))(given), given[:, :3], atol=1e-6)


def _nearest_mean(values, known, y, x):
    """The mean of the known values nearest to a place."""
    ys, xs = np.nonzero(known)
    distance = (ys - y) ** 2 + (xs - x) ** 2
    return values[known][distance == distance.min()].mean()


def test_x_trans_starts_as_the_mean_of_the_nearest_pixels_of_each_colour():
    """Computed pixel by pixel, without cells: both layouts of a cell are where they should be."""
    measured = np.random.default_rng(0).random((48, 48), np.float32)
    planes = torch.from_numpy(pack(measured, X_TRANS))
    with torch.no_grad():
        made = UNet(UNetConfig(cell=3))(torch.cat([planes, torch.ones_like(planes)])[None])[0]
    pattern = np.tile(np.array(X_TRANS.pattern), (8, 8))
    for y in range(15, 27):
        for x in range(15, 27):
            for colour in range(3):
                expected = _nearest_mean(measured, pattern == colour, y, x)
                assert float(made[colour, y, x]) == pytest.approx(expected, abs=1e-5)


def test_layouts_are_split_as_a_chessboard():
    """Light of both layouts first, then noise; together they are the input."""
    x = torch.rand(2, 18, 6, 8)
    split = split_layouts(x).view(2, 2, 2, 9, 6, 8)  # light or noise, layout
    even = (torch.arange(6)[:, None] + torch.arange(8)) % 2 == 0
    assert torch.equal(split.sum(2).view(x.shape), x)
    assert not split[:, :, 0, :, ~even].any()
    assert not split[:, :, 1, :, even].any()


def test_twice_the_light_and_noise_give_twice_the_output():
    network, x = _trained_looking(SMALL), torch.randn(1, 8, 24, 24)
    with torch.no_grad():
        assert torch.allclose(network(8 * x), 8 * network(x), rtol=1e-4, atol=1e-4)


def test_it_starts_as_bilinear_demosaicing():
    rows, columns = np.indices((32, 32), np.float32)
    rgb = np.stack([rows + 2 * columns, 3 * rows - columns, columns - rows])  # planes: no error
    planes = torch.from_numpy(pack(mosaic(rgb, RGGB), RGGB))
    with torch.no_grad():
        made = UNet(SMALL)(torch.cat([planes, torch.ones_like(planes)])[None])[0]
    assert np.allclose(made[:, 2:-2, 2:-2], rgb[:, 2:-2, 2:-2], atol=1e-3)


def test_bilinear_weights_sum_to_one():
    assert torch.allclose(bilinear_demosaic(BAYER_KIND).sum(1), torch.ones(12))
    of_layouts = bilinear_demosaic(X_TRANS_KIND).sum(1)  # 1 for each layout
    assert torch.allclose(of_layouts, torch.full((27,), 2.0))


def test_the_measured_halo_is_enough():
    network = _trained_looking(SMALL)
    margin, most = measured_halo(network), halo(SMALL)
    assert SMALL.multiple <= margin <= most
    x = torch.cat([torch.rand(1, 4, 64, 128), torch.full((1, 4, 64, 128), 0.3)], 1)
    with torch.no_grad():
        untiled = network(x)[..., 128:]
        part = network(x[..., 64 - margin :])[..., 2 * margin :]
    assert torch.allclose(part, untiled, atol=3e-4)


def test_nothing_beyond_the_halo_matters():
    network = _trained_looking(SMALL)
    reach = halo(SMALL)
    x = torch.randn(1, 8, 4 * reach, 4 * reach)
    changed = x.clone()
    changed[..., : 2 * reach - reach, :] = 5.0  # all rows more than `reach` above the middle
    with torch.no_grad():
        a, b = network(x), network(changed)
    assert torch.allclose(a[..., 4 * reach :, :], b[..., 4 * reach :, :], atol=1e-5)
    assert not torch.allclose(a[..., : 2 * reach, :], b[..., : 2 * reach, :])
