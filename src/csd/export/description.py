"""The `.json` beside an exported file: what a program needs to know to run it, and its digest."""

import json
from pathlib import Path
from typing import Any

from csd.errors import InputError
from csd.files import digest_of, exists, open_regular, read_json
from csd.schema import anything, array, boolean, integer, number, optional, table, text

DIGEST = "file_sha256"
WEIGHTS_DIGEST = "weights_sha256"  # of the `.bin` beside OpenVINO's `.xml`
_REMEDY = "export it again"
_SIDE = optional(integer(1, 1 << 20))
_TENSOR = table({"shape": array(anything, 4, 4)})


def _check(facts: Any) -> None:
    _FACTS(facts)
    for end in ("input", "output"):
        for name, side in zip(("height", "width"), facts[end]["shape"][2:], strict=True):
            _SIDE(side, f"the {name} in '{end}.shape'")


_FACTS = table(
    {
        "scale": integer(1, 8),
        "width": number(0, 1),
        "architecture": table({"name": text(100)}),
        "input": _TENSOR,
        "output": _TENSOR,
        "receptive_field": table({"whole_image": boolean}, {"radius": number(0, 1e6)}),
    },
    {
        "parameters": optional(integer(0)),
        "precision": text(20),
        DIGEST: text(64),
        WEIGHTS_DIGEST: text(64),
    },
)


def description_of(model: Path) -> Path:
    """Where the description of an exported file lies: beside it, its name and `.json`."""
    return model.with_name(model.name + ".json")


def read_description(model: Path) -> dict[str, Any]:
    """The description of an exported file, checked: types, ranges, what is needed.

    Raises InputError: it is missing, damaged, or describes no network.
    """
    path = description_of(model)
    if not exists(path):
        raise InputError(
            f"{model} comes without {path.name}, which says its scale; export.py writes both, keep "
            "them together"
        )
    return read_json(path, _check, "the description of an exported network", _REMEDY)


def check_digest(model: Path, facts: dict[str, Any]) -> None:
    """Compare an exported file with the digest in its description, where that has one.

    Raises InputError: they differ.
    """
    for path, key in ((model, DIGEST), (model.with_suffix(".bin"), WEIGHTS_DIGEST)):
        wanted = facts.get(key)
        if wanted is not None and wanted != sha256_of(path):
            raise InputError(
                f"{path} is damaged or not the file that {description_of(model).name} describes "
                f"(SHA-256 differs); {_REMEDY}"
            )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises InputError as `open_regular`."""
    with open_regular(path) as file:
        return digest_of(file)


def name_with_description(made: Path, target: Path, facts: dict[str, Any], *beside: Path) -> None:
    """Give the file `made`, those beside it, and the description of it their lasting names.

    `made` has the name of `target` in another folder. Raises OSError.
    """
    description = description_of(made)
    description.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    # Killed in between, there is a file without a description, never with another's.
    description_of(target).unlink(missing_ok=True)
    for path in (*beside, made, description):
        path.chmod(0o644)
        path.replace(target.with_name(path.name))
