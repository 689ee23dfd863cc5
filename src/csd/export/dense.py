"""The network that is deployed: dense, of one width, with nothing left to multiply by a scalar."""

import mindspore as ms

from csd.nets import SlimmableSR, create_model, extract_student
from csd.nets.layers import SlimConv2d
from csd.ops.channels import use_plain_forms


def dense_network(net: SlimmableSR, width: float, *, fold: bool = True) -> SlimmableSR:
    """The network of `net` at `width` on its own, ready for export.

    Its weights are the prefix of the teacher's, so no slice is left; a residual scale is folded
    into the convolution before it, `s * (W x + b) = (sW) x + sb`, which is exact but for rounding.
    The mean shift stays an addition: folded into the bias of a zero-padded convolution it would be
    wrong along the image's border.

    Args:
        net: any slimmable network.
        width: in (0, 1].
        fold: whether to fold the residual scale; else the weights stay those of `net`.

    Returns:
        A network of the same class, called without a width: float32 (N, 3, H, W), RGB 0..255 ->
        (N, 3, scale * H, scale * W).

    Raises:
        InputError: a width that leaves some layer no channel.
    """
    student = extract_student(net, width)
    scale = student.hyper.get("res_scale", 1.0)
    if fold and scale != 1.0:
        hyper = {**student.hyper, "res_scale": 1.0}
        folded = create_model(student.name, scale=student.scale, **hyper)
        for name, parameter in folded.parameters_dict().items():
            value = student.parameters_dict()[name].asnumpy()
            parameter.set_data(ms.Tensor(value * scale if ".conv2." in name else value))
        student = folded
    use_plain_forms(student)
    student.set_train(False)
    return student


def receptive_radius(net: SlimmableSR) -> float:
    """How far, in pixels of the small image, an output pixel can see through the convolutions.

    Every 3x3 convolution of EDSR, RCAN and CARN lies on one chain from input to output, so the
    radius is the sum over all of them of (kernel // 2) / resolution, where the resolution is 1
    up to the first pixel shuffle and `scale` after the last. Channel attention is left out: it
    sees the mean of the whole image, see `sees_whole_image`.
    """
    radius = 0.0
    for name, cell in net.cells_and_names():
        if isinstance(cell, SlimConv2d):
            radius += cell.padding / _resolution(net, name, cell)
    return radius


def _resolution(net: SlimmableSR, name: str, conv: SlimConv2d) -> int:
    if conv.out_channels == 3:  # the last one, behind the up-sampler
        return net.scale
    parent, _, index = name.rpartition(".blocks.")
    # The second convolution of an up-sampler in two steps works on an image twice as large.
    return 2 if parent.startswith("upsampl") and index == "1" else 1


def sees_whole_image(net: SlimmableSR) -> bool:
    """Whether every output pixel depends on all input pixels, as with channel attention."""
    return any("caLayer" in name for name, _ in net.cells_and_names())
