"""Checks the boards against the types of @grafana/schema: `make boards-check` (needs npm and node).

Writes a TypeScript file that gives each panel's options and fields, and each board, to Grafana's own types,
and lets the compiler judge: a wrong word, a number that is a text, an option that a panel has not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUSE = Path(__file__).parents[1]
INSTALLED = HOUSE / ".cache" / "grafana-schema"
TYPES = "./node_modules/@grafana/schema/dist/types/raw"
FOLDERS = {"state-timeline": "statetimeline"}
"""Panels whose folder is not their name."""
OF_THE_DATA_SOURCE = {"target", "titleFormat", "textFormat", "tagKeys", "definition"}
"""Parts of annotations and variables that Prometheus' data source reads; the types do not know them."""
PARTIAL = (
    "type Words<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T"
    " : T extends (infer U)[] ? Words<U>[] : { [K in keyof T]?: Words<T[K]> };"
)
"""A type of which every part may be missing, and whose words are written as texts."""
FLAGS = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext")


def lines(boards: list[dict[str, Any]]) -> Iterator[str]:
    """Return the file that the compiler judges."""
    panels = [(b["uid"], p) for b in boards for p in b["panels"] if p["type"] != "row"]
    yield f"import type * as board from '{TYPES}/dashboard/x/types.gen';"
    for kind in sorted({panel["type"] for _, panel in panels}):
        folder = FOLDERS.get(kind, kind)
        yield f"import type * as {folder} from '{TYPES}/composable/{folder}/panelcfg/x/types.gen';"
    yield PARTIAL
    for board in boards:
        without = {key: value for key, value in board.items() if key != "panels"}
        for part in (*without["annotations"].get("list", []), *without["templating"]["list"]):
            for key in OF_THE_DATA_SOURCE & part.keys():
                del part[key]
        yield f"export const {_name(board['uid'])}: Words<board.Dashboard> = {json.dumps(without)};"
    for uid, panel in panels:
        name, folder = f"{_name(uid)}_{panel['id']}", FOLDERS.get(panel["type"], panel["type"])
        yield f"// {uid}: {panel['title']}"
        yield f"export const {name}: Words<{folder}.Options> = {json.dumps(panel['options'])};"
        outer = {key: value for key, value in panel.items() if key not in ("options", "fieldConfig")}
        yield f"export const {name}_panel: Words<board.Panel> = {json.dumps(outer)};"
        fields = dict(panel["fieldConfig"]["defaults"])
        custom = fields.pop("custom", None)
        yield f"export const {name}_fields: Words<board.FieldConfig> = {json.dumps(fields)};"
        if custom:
            yield f"export const {name}_custom: Words<{folder}.FieldConfig> = {json.dumps(custom)};"


def _name(uid: str) -> str:
    return uid.replace("-", "_")


def main() -> int:
    """Write the file, run the compiler, say what it says."""
    boards = [json.loads(path.read_text()) for path in sorted((HOUSE / "dashboards/grafana").glob("*.json"))]
    written = INSTALLED / "boards.ts"
    written.write_text("\n".join(lines(boards)) + "\n")
    compiler = INSTALLED / "node_modules" / "typescript" / "bin" / "tsc"
    command = ["node", str(compiler), *FLAGS, "--moduleResolution", "bundler", written.name]
    done = subprocess.run(command, cwd=INSTALLED, check=False)  # noqa: S603 - our own command
    if done.returncode == 0:
        print(f"{len(boards)} boards have the types of @grafana/schema")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
