"""int8 for OpenVINO: the dense network quantised by NNCF, judged on images held back, then kept.

NNCF runs the network on the calibration images, notes the range of every activation, and puts
quantisation before the convolutions; OpenVINO computes those with int8 instructions (VNNI, AMX).
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from csd.errors import InputError, WorkError
from csd.export.calibration import Calibration, as_input
from csd.export.description import name_with_description
from csd.files import temporary_folder, writing
from csd.openvino_core import cpu_settings, openvino_core

Runner = Callable[[np.ndarray], np.ndarray]
Quality = Callable[[np.ndarray, np.ndarray, int], float]

_TIMED = (320, 480)  # the image that speed is measured on, unless the file takes one size only
_ROUNDS = 7


@dataclass(frozen=True)
class Judgement:
    """int8 against float32, on the images held back and on this machine's processor.

    float32, int8: mean PSNR-Y in dB; images: how many; float32_ms, int8_ms: the shortest of seven
    runs in turn, on one image of `timed_size` (height, width); processor, vnni: where.
    """

    float32: float
    int8: float
    images: int
    float32_ms: float
    int8_ms: float
    timed_size: tuple[int, int]
    processor: str
    vnni: bool

    @property
    def drop(self) -> float:
        """How many dB int8 is below float32; negative where it is above."""
        return self.float32 - self.int8

    @property
    def speed(self) -> float:
        """How many times as fast as float32."""
        return self.float32_ms / self.int8_ms


def check_quantizer() -> None:
    """InputError, with what to install, where NNCF or OpenVINO is missing."""
    for name in ("openvino", "nncf"):
        try:
            _import(name)
        except ImportError:
            raise InputError(
                f"--precision int8 needs the package {name}, which is not installed; "
                "`pip install csd-mindspore[quantize]` brings it"
            ) from None


def _import(name: str):
    import importlib

    # NNCF reports its use to its makers unless one of these is set.
    os.environ.setdefault("NNCF_CI", "1")
    module = importlib.import_module(name)
    if name == "nncf":
        logging.getLogger("nncf").setLevel(logging.ERROR)
    return module


def quantize(onnx: bytes, images: list[np.ndarray]):
    """An ONNX network quantised to int8, as an OpenVINO model.

    onnx: input float32 (N, 3, H, W) of free sizes; images: uint8 (h, w, 3) to calibrate with.

    Sums stay in float: they carry the image through the network, and take no time. So do the mean
    shift and the first convolution. EDSR's x2 student then loses 0.06 dB on Set5, and 0.13 with
    sums in int8. The last convolution does not: in float it costs a sixth to a quarter of the time.
    """
    model = openvino_core().read_model(onnx)
    kinds = ((op.get_type_name(), op.get_friendly_name()) for op in model.get_ordered_ops())
    first = next(name for kind, name in kinds if kind == "Convolution")
    with contextlib.redirect_stdout(sys.stderr):  # its progress bar
        nncf = _import("nncf")
        return nncf.quantize(
            model,
            nncf.Dataset([as_input(image) for image in images]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=[first], types=["Add"]),
        )


def compiled(model: bytes | Path) -> Runner:
    """An ONNX file's bytes, or the path of an `.xml`, on the CPU: float32 in, float32 out."""
    core = openvino_core()
    made = core.compile_model(core.read_model(model), "CPU", cpu_settings())
    return lambda image: made(image)[0]


def judge(
    float32: Runner, int8: Runner, calibration: Calibration, scale: int, quality: Quality
) -> Judgement:
    """Quality and speed of both networks; quality: (SR, HR, border) -> dB."""
    values = {"float32": [], "int8": []}
    for lr, hr in calibration.held:
        for name, run in (("float32", float32), ("int8", int8)):
            values[name].append(quality(_rounded(run(as_input(lr))), hr, scale))
    image = as_input(np.resize(calibration.held[0][0], (*_TIMED, 3)))
    best = {"float32": np.inf, "int8": np.inf}
    for _ in range(_ROUNDS):
        for name, run in (("float32", float32), ("int8", int8)):
            started = time.perf_counter()
            run(image)
            best[name] = min(best[name], 1000 * (time.perf_counter() - started))
    return Judgement(
        float(np.mean(values["float32"])),
        float(np.mean(values["int8"])),
        len(calibration.held),
        best["float32"],
        best["int8"],
        _TIMED,
        str(openvino_core().get_property("CPU", "FULL_DEVICE_NAME")).strip(),
        _has_vnni(),
    )


def _rounded(output: np.ndarray) -> np.ndarray:
    """A network's output as uint8 (H, W, 3), rounded half up."""
    return np.clip(np.floor(output[0].transpose(1, 2, 0) + 0.5), 0, 255).astype(np.uint8)


def _has_vnni() -> bool:
    """Whether the processor has instructions that multiply int8 and add to int32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags


def check_drop(judgement: Judgement, max_drop: float) -> None:
    """WorkError where int8 loses more than `max_drop` dB, or its quality is no number."""
    if not judgement.drop <= max_drop:
        raise WorkError(
            f"int8 is {judgement.drop:.3f} dB below float32 on the {judgement.images} images held "
            f"back, more than --max_drop {max_drop:g}; nothing is kept. Calibrate with more images "
            "of the kind that is upscaled, or take a wider network"
        )


def keep_if_good(
    model,
    target: Path,
    judged: Callable[[Path], Judgement],
    described: Callable[[Path, Judgement], dict],
    max_drop: float,
) -> Judgement:
    """Write `.xml`, the `.bin` and the description beside it, once the file has been judged.

    judged, described: take the path of the file as it was written, under a temporary name.

    Raises:
        WorkError: it loses more than `max_drop` dB, or cannot be written; nothing is left.
    """
    openvino = _import("openvino")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(target.parent, ".export-") as folder:
            made = folder / target.name
            openvino.save_model(model, made, compress_to_fp16=False)
            try:
                judgement = judged(made)
            except RuntimeError:  # OpenVINO does not say that it could not write all of it
                raise WorkError(
                    f"cannot write {target}: what was written cannot be read; is the disk full?"
                ) from None
            check_drop(judgement, max_drop)
            facts = described(made, judgement)
            name_with_description(made, target, facts, made.with_suffix(".bin"))
    return judgement


def facts_of(judgement: Judgement) -> dict:
    """The judgement for the file's description."""
    return {
        **asdict(judgement),
        "metric": "mean PSNR-Y, dB",
        "drop": round(judgement.drop, 4),
        "speed": round(judgement.speed, 3),
    }
