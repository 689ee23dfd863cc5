"""Which backbones there are, and their hyper-parameters, without importing MindSpore.

The settings and `--help` are made from these tables. Importing a backbone for that would take
seconds, and would import MindSpore before `csd.runtime` has set its environment. So a table is a
literal in the body of the backbone's class, and is read from the file's syntax tree; nothing runs.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

# A new backbone is its file, nets/<name>.py, and one line here: its name and its class.
BACKBONES: dict[str, Any] = {
    "edsr": "EDSR",
    "rcan": "RCAN",
    "carn": "CARN",
    "msrresnet": "MSRResNet",
}


class Hyper(NamedTuple):
    """One hyper-parameter; its type is int (at least 1), float (finite) or bool."""

    name: str
    type: str
    default: Any
    meaning: str


def hyper_table(name: str) -> tuple[Hyper, ...]:
    """The hyper-parameters of the backbone `name`, a key of BACKBONES."""
    backbone = BACKBONES[name]
    rows = _read(name, backbone) if isinstance(backbone, str) else backbone.HYPER
    return tuple(Hyper(*row) for row in rows)


@cache
def _read(name: str, class_name: str) -> tuple:
    source = (Path(__file__).parent / "nets" / f"{name}.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for line in node.body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "HYPER":
                    return ast.literal_eval(line.value)
    raise AssertionError(f"nets/{name}.py has no class {class_name} with a table HYPER")
