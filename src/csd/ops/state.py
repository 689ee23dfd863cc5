"""Parameters put back in the graph, without a branch on a value that the device computes."""

from mindspore import ops

_copy = ops.MultitypeFuncGraph("copy")
_keep = ops.MultitypeFuncGraph("keep")
_map = ops.HyperMap()
_move = ops.Primitive("TensorMove")


@_copy.register("Tensor")
def _copy_tensor(parameter):
    return _move(parameter)


@_keep.register("Tensor", "Tensor", "Tensor")
def _keep_tensor(finite, parameter, before):
    return ops.assign(parameter, ops.select(finite, parameter, before))


def copies(parameters):
    """What the parameters hold now, in memory of its own."""
    return _map(_copy, parameters)


def keep_where(finite, parameters, before, updated):
    """Behind `updated`: keep the parameters where `finite`, else give them `before`."""
    finite = ops.depend(finite, updated)
    return _map(ops.partial(_keep, finite), parameters, before)
