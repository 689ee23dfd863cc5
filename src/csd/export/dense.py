"""The network that is deployed: dense, of one width, with nothing left to multiply by a scalar."""

import mindspore as ms

from csd.nets import SlimmableSR, create_model, extract_student
from csd.ops.channels import use_plain_forms


def dense_network(net: SlimmableSR, width: float, *, fold: bool = True) -> SlimmableSR:
    """The network of `net` at `width` on its own, ready for export.

    Its weights are the prefix of the teacher's, so no slice is left; constants that it multiplies
    by are folded into them, which is exact but for rounding. The mean shift stays an addition:
    folded into the bias of a zero-padded convolution it would be wrong along the image's border.

    Args:
        net: any slimmable network.
        width: in (0, 1].
        fold: whether to fold those constants; else the weights stay those of `net`.

    Returns:
        A network of the same class, called without a width: float32 (N, 3, H, W), RGB 0..255 ->
        (N, 3, scale * H, scale * W).

    Raises:
        InputError: a width that leaves some layer no channel.
    """
    student = extract_student(net, width)
    hyper, factors = student.folded()
    if fold and factors:
        folded = create_model(student.name, scale=student.scale, **hyper)
        for name, parameter in folded.parameters_dict().items():
            value = student.parameters_dict()[name].asnumpy()
            parameter.set_data(ms.Tensor(value * factors.get(name, 1.0)))
        student = folded
    use_plain_forms(student)
    student.set_train(False)
    return student


def receptive_radius(net: SlimmableSR) -> float:
    """How far, in pixels of the LR image, an output pixel can see through the convolutions.

    Every convolution of the backbones lies on one chain from input to output, or beside one as
    long, so the radius is the sum over all of them of (kernel // 2) / resolution. Averages over the
    whole image are left out, see `SlimmableSR.pools`.
    """
    return sum(conv.padding / conv.resolution for conv in net.convolutions() if conv.padding)
