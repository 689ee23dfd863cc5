"""The CSD training step in plain PyTorch, as the paper describes it: the baseline of step.py.

Written from the description: VGG features of the teacher, the student and the negatives, and the
(K, B, C, H, W) tensor of their differences, layer by layer. Nothing is frozen out of the graph that
a PyTorch user would not freeze: teacher and negatives run under no_grad.
"""

import numpy as np
import torch
import torch.nn.functional as F

MEAN = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1) * 255


def conv(state, name, x, m_in, m_out):
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return F.conv2d(x, weight[:m_out, :m_in], bias[:m_out], padding=weight.shape[-1] // 2)


def upsample(state, name, x, m, scale):
    for i, factor in enumerate({2: (2,), 3: (3,), 4: (2, 2)}[scale]):
        x = F.pixel_shuffle(conv(state, f"{name}.blocks.{i}", x, m, factor**2 * m), factor)
    return x


def edsr(state, hyper, x, width):
    m = int(hyper["n_feats"] * width)
    h = conv(state, "head", x - MEAN, 3, m)
    r = h
    for i in range(hyper["n_resblocks"]):
        inner = F.relu(conv(state, f"body.{i}.conv1", r, m, m))
        r = r + hyper["res_scale"] * conv(state, f"body.{i}.conv2", inner, m, m)
    r = upsample(state, "upsampler", conv(state, "body_conv", r, m, m) + h, m, hyper["scale"])
    return conv(state, "tail_conv", r, m, 3) + MEAN


def rcan(state, hyper, x, width):
    m, s = int(hyper["n_feats"] * width), int(hyper["n_squeezed"] * width)
    h = conv(state, "head_conv", x - MEAN, 3, m)
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
    return conv(state, "tail_conv", r, m, 3) + MEAN


def carn(state, hyper, x, width):
    m = int(hyper["n_feats"] * width)

    def unit(name, x):
        return x + conv(state, f"{name}.conv2", F.relu(conv(state, f"{name}.conv1", x, m, m)), m, m)

    def cascade(prefix, stage, x):
        c = o = x
        for j in (1, 2, 3):
            c = torch.cat((c, stage(f"{prefix}b{j}", o)), 1)
            o = F.relu(conv(state, f"{prefix}c{j}.conv", c, (j + 1) * m, m))
        return o

    def block(name, x):
        return cascade(f"{name}.", unit, x)

    h = cascade("", block, conv(state, "entry", x - MEAN, 3, m))
    return conv(state, "exit", upsample(state, "upsample", h, m, hyper["scale"]), m, 3) + MEAN


NETWORKS = {"edsr": edsr, "rcan": rcan, "carn": carn}


class TorchStep:
    """`step(lr, hr, negatives)`: (total, student, teacher, contrast) and an Adam update."""

    def __init__(self, model, state, convs, pools, taps, width, weights, contrast_weight):
        self.model, self.width, self.weights = model, width, weights
        self.contrast_weight = contrast_weight
        self.state = {k: torch.tensor(v, requires_grad=True) for k, v in state.items()}
        self.convs = [(torch.tensor(w), torch.tensor(b)) for w, b in convs]
        self.pools, self.taps = pools, taps
        self.optimizer = torch.optim.Adam(self.state.values(), lr=1e-4)

    def features(self, x):
        found = []
        for (weight, bias), pool, tap in zip(self.convs, self.pools, self.taps, strict=True):
            if pool:
                x = F.max_pool2d(x, 2)
            x = F.relu(F.conv2d(x, weight, bias, padding=1))
            if tap:
                found.append(x)
        return found

    def losses(self, lr, hr, negatives):
        network = NETWORKS[self.model["name"]]
        student = network(self.state, self.model, lr, self.width)
        teacher = network(self.state, self.model, lr, 1.0)
        with torch.no_grad():
            positive = self.features(teacher)
            negative = self.features(negatives)
        contrast = 0.0
        pairs = zip(self.weights, positive, self.features(student), negative, strict=True)
        for weight, t, s, n in pairs:
            away = (n[:, None] - s[None]).abs().mean((1, 2, 3, 4)).sum()
            contrast = contrast + weight * F.l1_loss(s, t) / (away + 1e-7)
        parts = F.l1_loss(student, hr), F.l1_loss(teacher, hr), contrast
        return parts[0] + parts[1] + self.contrast_weight * contrast, *parts

    def __call__(self, lr, hr, negatives):
        self.optimizer.zero_grad()
        losses = self.losses(*(torch.tensor(x) for x in (lr, hr, negatives)))
        losses[0].backward()
        self.optimizer.step()
        return np.array([float(x) for x in losses])
