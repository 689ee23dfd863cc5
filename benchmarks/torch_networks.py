"""The networks in PyTorch, written from the papers: what benchmarks and tests compare with.

`network(state, hyper, x, width)`: tensors under our names, hyper-parameters and scale, images
(N, 3, H, W) in 0..`rgb_range` (255 where hyper does not say).
"""

import torch
import torch.nn.functional as F

MEAN = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)


def mean(hyper):
    """DIV2K's mean on the network's scale: `rgb_range` is 255 or 1."""
    return MEAN * hyper.get("rgb_range", 255)


def conv(state, name, x, m_in, m_out):
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return F.conv2d(x, weight[:m_out, :m_in], bias[:m_out], padding=weight.shape[-1] // 2)


def upsample(state, name, x, m, scale, activate=lambda x: x):
    for i, factor in enumerate({2: (2,), 3: (3,), 4: (2, 2)}[scale]):
        x = activate(conv(state, f"{name}.blocks.{i}", x, m, factor**2 * m))
        x = F.pixel_shuffle(x, factor)
    return x


def edsr(state, hyper, x, width):
    m = int(hyper["n_feats"] * width)
    h = conv(state, "head", x - mean(hyper), 3, m)
    r = h
    for i in range(hyper["n_resblocks"]):
        inner = F.relu(conv(state, f"body.{i}.conv1", r, m, m))
        r = r + hyper["res_scale"] * conv(state, f"body.{i}.conv2", inner, m, m)
    r = upsample(state, "upsampler", conv(state, "body_conv", r, m, m) + h, m, hyper["scale"])
    return conv(state, "tail_conv", r, m, 3) + mean(hyper)


def rcan(state, hyper, x, width):
    m, s = int(hyper["n_feats"] * width), int(hyper["n_squeezed"] * width)
    h = conv(state, "head_conv", x - mean(hyper), 3, m)
    r = h
    for g in range(hyper["n_resgroups"]):
        group = r
        for b in range(hyper["n_resblocks"]):
            name = f"body.{g}.body.{b}"
            y = conv(state, f"{name}.body.0", group, m, m)
            y = conv(state, f"{name}.body.1", F.relu(y), m, m)
            gate = conv(state, f"{name}.caLayer.conv_du.0", y.mean((2, 3), keepdim=True), m, s)
            gate = conv(state, f"{name}.caLayer.conv_du.1", F.relu(gate), s, m)
            group = group + y * torch.sigmoid(gate)
        r = r + conv(state, f"body.{g}.conv", group, m, m)
    r = upsample(state, "upsampler", conv(state, "body_conv", r, m, m) + h, m, hyper["scale"])
    return conv(state, "tail_conv", r, m, 3) + mean(hyper)


def carn(state, hyper, x, width):
    m = int(hyper["n_feats"] * width)

    def outer(x):
        return F.relu(x) if hyper.get("outer_relu") else x

    def unit(name, x):
        inner = F.relu(conv(state, f"{name}.conv1", x, m, m))
        return outer(x + conv(state, f"{name}.conv2", inner, m, m))

    def cascade(prefix, stage, x):
        c = o = x
        for j in (1, 2, 3):
            c = torch.cat((c, stage(f"{prefix}b{j}", o)), 1)
            o = F.relu(conv(state, f"{prefix}c{j}.conv", c, (j + 1) * m, m))
        return o

    def block(name, x):
        return cascade(f"{name}.", unit, x)

    h = cascade("", block, conv(state, "entry", x - mean(hyper), 3, m))
    h = upsample(state, "upsample", h, m, hyper["scale"], outer)
    return conv(state, "exit", h, m, 3) + mean(hyper)


NETWORKS = {"edsr": edsr, "rcan": rcan, "carn": carn}
