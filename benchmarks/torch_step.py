"""The CSD training step in PyTorch: the baselines of step.py, for the same losses.

`TorchStep` is written from the paper's description: VGG features of the teacher, the student and
the negatives, and the (K, B, C, H, W) tensor of their differences, layer by layer; teacher and
negatives run under no_grad. `CarefulStep` is what a user writes who has seen its profile: one
negative after the other, signs kept as int8 for a gradient by hand, Adam as one fused kernel.
`StudentStep` is the narrow student alone, by L1, in channels_last.
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

    fused = False

    def __init__(self, model, state, convs, pools, taps, width, weights, contrast_weight):
        self.model, self.width, self.weights = model, width, weights
        self.contrast_weight = contrast_weight
        self.state = {k: torch.tensor(v, requires_grad=True) for k, v in state.items()}
        self.convs = [(torch.tensor(w), torch.tensor(b)) for w, b in convs]
        self.pools, self.taps = pools, taps
        self.optimizer = torch.optim.Adam(self.state.values(), lr=1e-4, fused=self.fused)

    def features(self, x):
        found = []
        for (weight, bias), pool, tap in zip(self.convs, self.pools, self.taps, strict=True):
            if pool:
                x = F.max_pool2d(x, 2)
            x = F.relu(F.conv2d(x, weight, bias, padding=1))
            if tap:
                found.append(x)
        return found

    def away(self, negatives, student):
        """Sum over the negatives of the mean absolute difference from the student's features."""
        return (negatives[:, None] - student[None]).abs().mean((1, 2, 3, 4)).sum()

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
            away = self.away(n, s)
            contrast = contrast + weight * F.l1_loss(s, t) / (away + 1e-7)
        parts = F.l1_loss(student, hr), F.l1_loss(teacher, hr), contrast
        return parts[0] + parts[1] + self.contrast_weight * contrast, *parts

    def __call__(self, lr, hr, negatives):
        self.optimizer.zero_grad()
        losses = self.losses(*(torch.tensor(x) for x in (lr, hr, negatives)))
        losses[0].backward()
        self.optimizer.step()
        return np.array([float(x) for x in losses])


class AwaySum(torch.autograd.Function):
    """Sum of |student - negative| over all pairs; its gradient is a sum of signs, kept as int8."""

    @staticmethod
    def forward(ctx, student, negatives):
        total, signs = 0.0, torch.zeros_like(student, dtype=torch.int8)
        for negative in negatives:
            difference = student - negative
            total = total + difference.abs().sum()
            signs += difference.sign_().to(torch.int8)
        ctx.save_for_backward(signs)
        return total

    @staticmethod
    def backward(ctx, gradient):
        (signs,) = ctx.saved_tensors
        return signs * gradient, None


class CarefulStep(TorchStep):
    """`TorchStep` without the (K, B, C, H, W) tensor, with fused Adam."""

    fused = True

    def away(self, negatives, student):
        return AwaySum.apply(student, negatives) / student.numel()


class StudentStep:
    """`step(lr, hr)`: the L1 of a network on its own and an Adam update, all in channels_last."""

    def __init__(self, model, state):
        self.model = model
        self.state = {k: self.laid_out(torch.tensor(v)).requires_grad_() for k, v in state.items()}
        self.optimizer = torch.optim.Adam(self.state.values(), lr=1e-4, fused=True)

    @staticmethod
    def laid_out(x):
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    def __call__(self, lr, hr):
        self.optimizer.zero_grad()
        lr, hr = (self.laid_out(torch.tensor(x)) for x in (lr, hr))
        loss = F.l1_loss(NETWORKS[self.model["name"]](self.state, self.model, lr, 1.0), hr)
        loss.backward()
        self.optimizer.step()
        return np.array([float(loss.detach())])
