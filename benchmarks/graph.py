"""What a compiled graph consists of, and the memory that it needs: nothing runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import mindspore as ms
from mindspore import nn

# Numbers of the element types in a serialised graph.
FLOAT32, FLOAT16 = 1, 10
_BYTES = {FLOAT32: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, FLOAT16: 2, 11: 8, 12: 4, 13: 8}
_SAME_MEMORY = ("Depend", "Load", "Reshape", "TupleGetItem")  # as their first input
_NO_MEMORY = ("Constant", "UpdateState", "MakeTuple")


@dataclass(frozen=True)
class Node:
    """One operator: primitive, names of inputs and output, element type and shape of outputs."""

    primitive: str
    inputs: tuple[str, ...]
    output: str
    outputs: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def size(self) -> int:
        """Bytes of what it computes."""
        return sum(_BYTES.get(kind, 4) * prod(shape) for kind, shape in self.outputs)


def compile_graph(cell: nn.Cell, *arguments: ms.Tensor) -> list[Node]:
    """Every operator of the graph of `cell(*arguments)`, in an order that can be run.

    The framework's front end derives, differentiates and simplifies the graph and infers its
    types; it stops before a device's kernels are chosen.
    """
    from mindspore.common.api import _cell_graph_executor as executor
    from mindspore.train import mind_ir_pb2

    phase, _ = executor.compile(cell, *arguments, phase="export.inspected", do_convert=False)
    model = mind_ir_pb2.ModelProto()
    model.ParseFromString(executor._get_func_graph_proto(cell, phase, "mind_ir"))
    return [
        Node(
            node.op_type.split(":")[2] if node.op_type.startswith("REF::") else node.op_type,
            tuple(node.input),
            node.output[0],
            tuple(_outputs(node)),
        )
        for graph in (*model.functions, model.graph)
        for node in graph.node
        if "CNode" not in node.op_type
    ]


def _outputs(node) -> Iterator[tuple[int, tuple[int, ...]]]:
    for attribute in node.attribute:
        if attribute.name == "shape":
            for tensor in attribute.tensors:
                yield tensor.data_type, tuple(tensor.dims)


def peak_bytes(nodes: Sequence[Node]) -> int:
    """Most bytes of computed tensors alive at once, each freed behind its last use.

    Parameters and inputs are not counted, nor what kernels need while they run, nor what an
    allocator wastes.
    """
    owners = _owners(nodes)
    last = {}
    for place, node in enumerate(nodes):
        if node.primitive not in ("UpdateState", "MakeTuple"):
            last.update((owner, place) for name in node.inputs for owner in owners(name))
    ends: dict[int, list[str]] = {}
    for name, place in last.items():
        ends.setdefault(place, []).append(name)
    alive: dict[str, int] = {}
    peak = now = 0
    for place, node in enumerate(nodes):
        if node.output in last and node.primitive not in (*_SAME_MEMORY, *_NO_MEMORY):
            alive[node.output] = node.size
            now += node.size
            peak = max(peak, now)
        now -= sum(alive.pop(name, 0) for name in ends.get(place, ()))
    return peak


def _owners(nodes: Sequence[Node]):
    """Function: the tensors behind a name, which may be another name of one or a tuple of them."""
    first = {n.output: n.inputs[0] for n in nodes if n.primitive in _SAME_MEMORY and n.inputs}
    parts = {n.output: n.inputs for n in nodes if n.primitive == "MakeTuple"}

    def owners(name: str) -> list[str]:
        while name in first:
            name = first[name]
        return [o for part in parts[name] for o in owners(part)] if name in parts else [name]

    return owners
