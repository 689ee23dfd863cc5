"""The CSD training step in PyTorch: the baselines of step.py, for the same losses.

`TorchStep` is written from the paper's description: VGG features of the teacher, the student and
the negatives, and the (K, B, C, H, W) tensor of their differences, layer by layer; teacher and
negatives run under no_grad. `CarefulStep` is what a user writes who has seen its profile: one
negative after the other, signs kept as int8 for a gradient by hand, Adam as one fused kernel.
`StudentStep` is the student alone, by L1, in channels_last.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch_networks import NETWORKS


class TorchStep:
    """`step(lr, hr, negatives)`: (total, student, teacher, contrastive) and an Adam update."""

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
        contrastive = 0.0
        pairs = zip(self.weights, positive, self.features(student), negative, strict=True)
        for weight, t, s, n in pairs:
            away = self.away(n, s)
            contrastive = contrastive + weight * F.l1_loss(s, t) / (away + 1e-7)
        parts = F.l1_loss(student, hr), F.l1_loss(teacher, hr), contrastive
        return parts[0] + parts[1] + self.contrast_weight * contrastive, *parts

    def __call__(self, lr, hr, negatives):
        self.optimizer.zero_grad()
        losses = self.losses(*(torch.tensor(x) for x in (lr, hr, negatives)))
        losses[0].backward()
        self.optimizer.step()
        return np.array([float(x.detach()) for x in losses])


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
