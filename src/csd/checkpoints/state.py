"""Parameters of a network as a mapping of names to arrays, in and out."""

from collections.abc import Mapping

import numpy as np

from csd.errors import InputError

# DIV2K's mean RGB, which the networks subtract first and add last, in 0..255; rounded as the
# PyTorch codes round it, so that a file written from our weights equals theirs bit-exact.
RGB_MEAN = np.float32(255) * np.array((0.4488, 0.4371, 0.4040), np.float32)
_MEAN_SIGN = {"sub_mean": -1.0, "add_mean": 1.0}


def network_state(net) -> dict[str, np.ndarray]:
    """Every parameter of a network (a Cell) by its name inside that network, copied.

    The names are the paths of the attributes, whatever cell the network is itself part of.
    """
    return {name: param.asnumpy().copy() for name, param in net.parameters_and_names()}


def load_csd_state(net, state: Mapping[str, np.ndarray], source: str = "the weights") -> None:
    """Set every parameter of a network from arrays with the names of the paper's PyTorch code.

    `state`: name -> float array. A `module.` prefix is dropped; `sub_mean`/`add_mean` are checked
    against the constants and dropped. `source` names where the arrays came from in messages.

    Raises InputError naming the tensor, what was expected and what was found, and changes nothing,
    when a tensor is missing, superfluous, of another shape, or not of a floating-point type.
    """
    from mindspore import Tensor

    state = drop_mean_shift(strip_module(state), source)
    params = dict(net.parameters_and_names())
    check_shapes({name: tuple(param.shape) for name, param in params.items()}, state, source)
    for name, param in params.items():
        param.set_data(Tensor(np.ascontiguousarray(state[name], dtype=np.float32)))


def check_shapes(
    expected: Mapping[str, tuple[int, ...]], state: Mapping[str, np.ndarray], source: str
) -> None:
    """InputError unless `state` has exactly the expected names and shapes, floating-point."""
    for name, shape in expected.items():
        check_tensor(f"{source}: tensor '{name}'", state.get(name), shape)
    for name in state:
        if name not in expected:
            shape = np.asarray(state[name]).shape
            raise InputError(f"{source}: tensor '{name}' of shape {shape} is not expected")


def check_tensor(label: str, value: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """The value; InputError, which begins with the label, unless it is finite and of the shape."""
    if value is None:
        raise InputError(f"{label} of shape {shape} is expected and missing")
    value = np.asarray(value)
    if value.shape != shape:
        raise InputError(f"{label} should have shape {shape}, found {value.shape}")
    if not np.issubdtype(value.dtype, np.floating):
        raise InputError(f"{label} should be float, found {value.dtype}")
    if not np.isfinite(value).all():
        raise InputError(f"{label} should be finite, found NaN or infinity")
    return value


def strip_module(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Drop the `module.` that PyTorch's data parallelism puts before every name."""
    if state and all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return dict(state)


def drop_mean_shift(state: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Leave out `sub_mean.*` and `add_mean.*` once they are what the network does by itself.

    Raises InputError when they are not: a network trained with another mean, or for RGB in 0..1,
    gives wrong images without a word.
    """
    kept = {}
    for name, value in state.items():
        layer, _, part = name.partition(".")
        sign = _MEAN_SIGN.get(layer)
        if sign is None:
            kept[name] = value
            continue
        wanted = np.eye(3).reshape(3, 3, 1, 1) if part == "weight" else sign * RGB_MEAN
        value = np.asarray(value)
        if value.shape != wanted.shape or not np.allclose(value, wanted, rtol=0, atol=2e-2):
            raise InputError(
                f"{source}: tensor '{name}' should be {np.round(wanted, 3).ravel().tolist()} "
                f"(DIV2K mean, RGB 0..255), found {np.round(value, 3).ravel().tolist()[:12]}"
            )
    return kept


def mean_shift_state() -> dict[str, np.ndarray]:
    """The constant mean-shift tensors that the paper's PyTorch code keeps in its checkpoints."""
    eye = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    state = {}
    for layer, sign in _MEAN_SIGN.items():
        state[f"{layer}.weight"] = eye.copy()
        state[f"{layer}.bias"] = np.float32(sign) * RGB_MEAN
    return state
