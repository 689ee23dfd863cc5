"""The networks as their authors name and wire them, in PyTorch, written for these tests."""

import numpy as np
import pytest

MEAN = (0.4488, 0.4371, 0.4040)


@pytest.fixture(scope="session")
def authors():
    """Builders of PyTorch modules: `edsr`, `rcan` (EDSR-PyTorch's and RCAN-PyTorch's layouts)."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    def conv(i, o, k=3):
        return nn.Conv2d(i, o, k, padding=k // 2)

    class MeanShift(nn.Conv2d):
        def __init__(self, sign):
            super().__init__(3, 3, 1)
            self.weight.data = torch.eye(3).view(3, 3, 1, 1)
            self.bias.data = sign * 255 * torch.Tensor(MEAN)

    def upsampler(scale, c):
        if scale == 3:
            return nn.Sequential(conv(c, 9 * c), nn.PixelShuffle(3))
        stages = [m for _ in range(scale // 2) for m in (conv(c, 4 * c), nn.PixelShuffle(2))]
        return nn.Sequential(*stages)

    class ResBlock(nn.Module):
        def __init__(self, c, res_scale):
            super().__init__()
            self.body, self.res_scale = nn.Sequential(conv(c, c), nn.ReLU(), conv(c, c)), res_scale

        def forward(self, x):
            return x + self.body(x) * self.res_scale

    class Attention(nn.Module):
        def __init__(self, c, reduction):
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)
            squeezed = c // reduction
            self.conv_du = nn.Sequential(
                conv(c, squeezed, 1), nn.ReLU(), conv(squeezed, c, 1), nn.Sigmoid()
            )

        def forward(self, x):
            return x * self.conv_du(self.pool(x))

    class Residual(nn.Module):
        def __init__(self, *layers):
            super().__init__()
            self.body = nn.Sequential(*layers)

        def forward(self, x):
            return x + self.body(x)

    class Network(nn.Module):
        def __init__(self, body, c, scale):
            super().__init__()
            self.sub_mean, self.add_mean = MeanShift(-1), MeanShift(1)
            self.head, self.body = nn.Sequential(conv(3, c)), nn.Sequential(*body, conv(c, c))
            self.tail = nn.Sequential(upsampler(scale, c), conv(c, 3))

        def forward(self, x):
            x = self.head(self.sub_mean(x))
            return self.add_mean(self.tail(x + self.body(x)))

    def edsr(c=8, blocks=2, scale=2, res_scale=1.0, seed=0):
        torch.manual_seed(seed)
        return Network([ResBlock(c, res_scale) for _ in range(blocks)], c, scale).eval()

    def rcan(c=8, groups=2, blocks=3, reduction=4, scale=2, seed=0):
        torch.manual_seed(seed)

        def block():
            return Residual(conv(c, c), nn.ReLU(), conv(c, c), Attention(c, reduction))

        body = [Residual(*[block() for _ in range(blocks)], conv(c, c)) for _ in range(groups)]
        return Network(body, c, scale).eval()

    return type("Authors", (), {"edsr": staticmethod(edsr), "rcan": staticmethod(rcan)})


@pytest.fixture
def image():
    """A small batch, float32 (1, 3, 7, 9), 0..255."""
    return np.random.default_rng(3).uniform(0, 255, (1, 3, 7, 9)).astype(np.float32)
