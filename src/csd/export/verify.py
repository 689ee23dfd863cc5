"""Does an exported file compute what the checkpoint computes? Run it on an image and see."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from csd.data.images import read_image
from csd.errors import InputError
from csd.files import read_bytes

# Largest difference on the 0..255 scale. Half a thousandth of a grey level is float32 rounding
# in a deep network; a wrong border or a wrong fold is a hundred times that.
TOLERANCE = 1e-3

# Bookkeeping of MindSpore's graphs: names a constant, reads a parameter, orders side effects.
_BOOKKEEPING = {"Constant", "Load", "UpdateState", "MakeTuple", "Depend", "make_tuple"}


def sample_image(size: tuple[int, int]) -> np.ndarray:
    """An image of `size` (height, width) as float32 (1, 3, H, W), RGB 0..255.

    Smaller than the image in the package: a crop. Larger: mirrored at its borders.
    """
    image = read_image(Path(__file__).with_name("photo.png"))[: size[0], : size[1]]
    missing = [(0, wanted - have) for wanted, have in zip(size, image.shape, strict=False)]
    image = np.pad(image, [*missing, (0, 0)], mode="symmetric")
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def open_file(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The function that an exported file computes: (N, 3, H, W) float32 -> (N, 3, sH, sW).

    MINDIR runs in MindSpore, ONNX in ONNX Runtime.

    Raises:
        InputError: ONNX Runtime is missing, the suffix is unknown, or a MINDIR has its weights in
            another file, which could be any (ONNX Runtime itself reads none outside the folder).
    """
    if path.suffix == ".mindir":
        for parameter in read_mindir(path).graph.parameter:
            if parameter.external_data.location:
                raise InputError(
                    f"{path} is refused: it takes '{parameter.name}' from another file, "
                    f"{parameter.external_data.location!r}; export it with all its weights inside"
                )
        graph = nn.GraphCell(ms.load(str(path)))
        return lambda image: graph(ms.Tensor(image)).asnumpy()
    if path.suffix == ".onnx":
        session = onnx_session(path)
        name = session.get_inputs()[0].name
        return lambda image: session.run(None, {name: image})[0]
    raise InputError(f"{path} is neither .mindir nor .onnx: it cannot be run here")


def onnx_session(path: Path):
    """An ONNX Runtime session of the file on the CPU.

    Raises:
        InputError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InputError(
            "an ONNX file is checked with ONNX Runtime, which is not installed; "
            "`pip install onnxruntime` brings it"
        ) from None
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def largest_difference(
    path: Path, reference: Callable[[np.ndarray], np.ndarray], sizes: list[tuple[int, int]]
) -> float:
    """Largest absolute difference between the file and `reference` on the image.

    NaN where an output has the wrong shape or is not finite, so that no comparison passes.
    """
    run = open_file(path)
    worst = 0.0
    for size in sizes:
        image = sample_image(size)
        got, wanted = run(image), reference(image)
        if got.shape != wanted.shape or not np.isfinite(got).all():
            return float("nan")
        worst = max(worst, float(np.abs(got - wanted).max()))
    return worst


def operators(path: Path) -> Counter:
    """How often each operator occurs in a MINDIR, bookkeeping left out."""
    model = read_mindir(path)
    kinds = {primitive.name: primitive.op_type for primitive in model.primitives}
    nodes = [*model.graph.node, *(node for f in model.functions for node in f.node)]
    names = (kinds.get(node.op_type.removeprefix("REF::"), node.op_type) for node in nodes)
    return Counter(name for name in names if name not in _BOOKKEEPING)


def read_mindir(path: Path):
    """A MINDIR as a message; InputError where it is none."""
    # The generated protobuf module is the only reader of MINDIR that MindSpore has in Python.
    from google.protobuf.message import DecodeError
    from mindspore.train.mind_ir_pb2 import ModelProto

    try:
        return ModelProto.FromString(read_bytes(path, "a MINDIR"))
    except DecodeError:
        raise InputError(f"{path} is not a MINDIR file, or a damaged one") from None
