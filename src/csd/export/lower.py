"""Rewrite a MINDIR of version 3 for a runtime that reads version 1, such as MindSpore Lite 2.0.

Only the C++ runner's CPU tests need this: the one Lite library that installs from PyPI is that
old. A Lite package of the same version as MindSpore reads what `export.py` writes.
"""

import json
from pathlib import Path

from csd.errors import InputError
from csd.export.description import DIGEST, check_digest, description_of, read_description, sha256_of
from csd.files import whole_file, write_text, writing

# What the exporter writes for networks of this package; anything else was never tried.
_KNOWN = {
    *("Conv2D", "BiasAdd", "ReLU", "Add", "Reshape", "Transpose", "Concat"),
    *("ReduceMean", "Sigmoid", "Mul"),
    *("Load", "Depend", "UpdateState", "MakeTuple"),
}
_PRIMITIVE = 1  # PrimitiveProto.prim_type of the older kind; 2 is the newer

# Operator -> (position of the input that used to be an attribute, the attribute's name).
_ATTRIBUTE_INPUTS = {
    "BiasAdd": (2, "format"),
    "Concat": (1, "axis"),
    "ReduceMean": (2, "keep_dims"),
}


def lower_mindir(source: str | Path, target: str | Path) -> None:
    """Write `source` (MINDIR version 3, of a fixed size) as version 1 to `target`.

    A description beside the source is checked, and written beside the target with its digest.

    Version 3 has two kinds of primitives; the newer kind takes what used to be attributes as
    inputs. Most operators here differ in nothing else; three have one input less.

    Raises:
        InputError: not a MINDIR, or of a dynamic size, or with an operator not listed here.
        WorkError: the target cannot be written.
    """
    from mindspore.train.mind_ir_pb2 import AttributeProto

    from csd.export.verify import read_mindir

    source, target = Path(source), Path(target)
    model = read_mindir(source)
    if description_of(source).is_file():
        check_digest(source, read_description(source))
    if not model.graph.node:
        raise InputError(f"{source} is not a MINDIR file")
    if any(d <= 0 for tensor in model.graph.input[0].tensor for d in tensor.dims):
        raise InputError(
            f"{source} is of a dynamic size, which version 1 cannot say; export it with --size HxW"
        )
    model.mind_ir_version = 1
    primitives = {"REF::" + primitive.name: primitive for primitive in model.primitives}
    constants = {
        node.output[0]: node.attribute[0] for node in model.graph.node if node.op_type == "Constant"
    }
    for primitive in model.primitives:
        if primitive.op_type not in _KNOWN:
            raise InputError(f"{source} holds {primitive.op_type}, which cannot be lowered")
        primitive.prim_type = _PRIMITIVE
    for node in model.graph.node:
        primitive = primitives.get(node.op_type)
        if primitive is None or primitive.op_type not in _ATTRIBUTE_INPUTS:
            continue
        position, name = _ATTRIBUTE_INPUTS[primitive.op_type]
        if not any(attribute.name == name for attribute in primitive.attribute):
            attribute = primitive.attribute.add()
            if name == "format":  # an enumeration before, its name now
                attribute.type, attribute.s = AttributeProto.STRING, b"NCHW"
            else:
                attribute.CopyFrom(constants[node.input[position]])
            attribute.name = name
        del node.input[position:]
    _write(model.SerializeToString(), source, target)


def _write(content: bytes, source: Path, target: Path) -> None:
    """The file, and beside it the source's description, if there is one, with its digest."""
    with writing(target):
        description_of(target).unlink(missing_ok=True)
    with whole_file(target, f".{target.name}.tmp") as file:
        file.write(content)
    if description_of(source).is_file():
        facts = {**read_description(source), "file": target.name, DIGEST: sha256_of(target)}
        write_text(description_of(target), json.dumps(facts, indent=2) + "\n")
