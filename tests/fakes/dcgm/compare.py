"""Compare the stand-in bindings with real ones: `python tests/fakes/dcgm/compare.py FOLDER`.

FOLDER is where DCGM installed its own (docs/gpu_sources.md). Every class and method of the stand-in must be
there, and take the same arguments in the same order. Real modules are read, not run: that needs no GPU.
"""

import ast
import sys
from pathlib import Path

OURS = Path(__file__).with_name("bindings")
MODULES = ("DcgmHandle", "DcgmSystem", "DcgmGroup", "DcgmFieldGroup", "dcgm_field_helpers")
SINCE_4 = {("DcgmSystemDiscovery", "GetGpuStatus")}
"""Asked only where it is."""
OF_US = {"Connection", "SimpleNamespace", "DcgmException", "DCGMError", "_take", "ask", "close"}


def signatures(files):
    """Return the arguments of each method, by class and name, without `self`."""
    found = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for part in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(part, ast.FunctionDef):
                    found[node.name, part.name] = [each.arg for each in part.args.args[1:]]
    return found


def differences(folder):
    """Say what the stand-in has otherwise; arguments that newer bindings added at the end may be missing."""
    real = signatures([Path(folder) / f"{name}.py" for name in MODULES])
    for (kind, name), arguments in signatures(sorted(OURS.glob("*.py"))).items():
        if kind in OF_US or name in OF_US or kind == "DcgmFieldValue":
            continue
        theirs = real.get((kind, name))
        if theirs is None and (kind, name) not in SINCE_4:
            yield f"{kind}.{name} is not there"
        elif theirs is not None and theirs != arguments[: len(theirs)]:
            yield f"{kind}.{name}{tuple(theirs)} is {tuple(arguments)} here"


if __name__ == "__main__":
    found = list(differences(sys.argv[1]))
    print("\n".join(found) or "the same")
    sys.exit(bool(found))
