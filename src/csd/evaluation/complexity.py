"""Size and cost of a network at a width: parameters and multiply-adds."""

from math import prod


def count_parameters(net, width: float = 1.0) -> int:
    """Trainable parameters of the network at `width`; nothing is compiled or run.

    Raises InputError for a width that leaves a layer no channel.
    """
    from csd.nets import extract_student

    dense = extract_student(net, width)
    return sum(prod(p.shape) for p in dense.trainable_params())


def _convolutions(net) -> list[tuple[tuple[int, ...], int]]:
    """(weight shape, output pixels per LR pixel) of every convolution; 0 where it sees one value.

    Convolutions run on the LR grid, except the later ones of an up-sampler, the one that makes the
    RGB image, and those of channel attention, which see each channel's mean.
    """
    from csd.nets.layers import SlimConv2d, Upsampler
    from csd.nets.rcan import ChannelAttention

    areas = {}
    for _, cell in net.cells_and_names():
        if isinstance(cell, Upsampler):
            area = 1
            for block, factor in zip(cell.blocks, cell.factors, strict=True):
                areas[id(block)] = area  # a convolution precedes its own pixel shuffle
                area *= factor**2
        elif isinstance(cell, ChannelAttention):
            areas.update((id(conv), 0) for conv in cell.conv_du)
    found = []
    for _, cell in net.cells_and_names():
        if isinstance(cell, SlimConv2d):
            at_output = cell.out_channels == 3
            area = net.scale**2 if at_output else areas.get(id(cell), 1)
            found.append((tuple(cell.weight.shape), area))
    return found


def multiply_adds(net, width: float = 1.0, out_hw: tuple[int, int] = (720, 1280)) -> int:
    """Multiply-adds of all convolutions for one output image of `out_hw` = (height, width) pixels.

    The field's convention (CARN, Ahn et al. 2018): an output of 1280 x 720, an input of exactly
    1 / scale of that (fractional for x3), convolutions only, biases and activations not counted.
    """
    from csd.nets import extract_student

    dense = extract_student(net, width)
    lr_pixels = out_hw[0] * out_hw[1] / net.scale**2
    total = 0.0
    for shape, area in _convolutions(dense):
        total += prod(shape) * (lr_pixels * area if area else 1)
    return round(total)
