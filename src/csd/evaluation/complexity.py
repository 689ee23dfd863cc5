"""Size and cost of a network at a width: parameters and multiply-adds."""

from math import prod


def count_parameters(net, width: float = 1.0) -> int:
    """Trainable parameters of the network at `width`; nothing is compiled or run.

    Raises InputError for a width that leaves a layer no channel.
    """
    from csd.nets import extract_student

    dense = extract_student(net, width)
    return sum(prod(p.shape) for p in dense.trainable_params())


def multiply_adds(net, width: float = 1.0, out_hw: tuple[int, int] = (720, 1280)) -> int:
    """Multiply-adds of all convolutions for one output image of `out_hw` = (height, width) pixels.

    The field's convention (CARN, Ahn et al. 2018): an output of 1280 x 720, an input of exactly
    1 / scale of that (fractional for x3), convolutions only, biases and activations not counted.
    """
    from csd.nets import extract_student

    dense = extract_student(net, width)
    lr_pixels = out_hw[0] * out_hw[1] / net.scale**2
    total = 0.0
    for convolution in dense.convolutions():
        area = convolution.resolution**2
        total += prod(convolution.weight.shape) * (lr_pixels * area if area else 1)
    return round(total)
