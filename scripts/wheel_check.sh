#!/bin/sh
# Builds the wheel, installs it alone in a clean environment and uses it from another folder.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$here/.venv/bin/pip" wheel -q --disable-pip-version-check --no-deps -w "$work" "$here"
"$here/.venv/bin/python" -m venv --without-pip "$work/venv"
"$here/.venv/bin/pip" --python "$work/venv/bin/python" install -q --disable-pip-version-check --no-compile "$work"/rackwatt-*.whl
cd "$work"
printf 'collectors: {}\n' > empty.yaml
./venv/bin/rackwatt --version
./venv/bin/rackwatt check empty.yaml
./venv/bin/rackwatt metrics | grep -q '^rackwatt_node_tokens_per_joule'
./venv/bin/rackwatt metrics | head -n 1 > /dev/null
./venv/bin/rackwatt dashboards --out boards | grep -q '^boards/rules/'
./venv/bin/rackwatt twin --list | grep -q '^azure-record '
./venv/bin/python - <<'PY'
from importlib.metadata import files
foreign = [str(f) for f in files("rackwatt") if not str(f).startswith(("agent/", "exporters/", "rackwatt-", "../"))]
assert not foreign, foreign
present = {str(f) for f in files("rackwatt")}
page = {f"agent/web/page/{name}" for name in ("index.html", "style.css", "app.js", "icon.svg")}
wanted = {"agent/collectors/nvml.py", "agent/web/openapi.yaml", *page}
assert present >= wanted, wanted - present
PY
echo "wheel: fine"
