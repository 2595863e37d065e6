#!/bin/sh
# Sets up what one make target needs: setup.sh run|test. Everything lands in .venv and .cache of this checkout;
# the system itself gets a package only where Python's venv module is missing.
set -eu
what=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$here"
say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
        say "needs root for: $*"; exit 1; fi
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
    done
fi
[ -n "$python" ] || { say "needs Python 3.11 or newer: apt-get install python3"; exit 1; }

if [ ! -x .venv/bin/python ]; then
    "$python" -c 'import ensurepip' 2>/dev/null || { say "installing python3-venv"; apt update; apt install -y python3-venv; }
    say "making .venv with $("$python" --version)"
    "$python" -m venv .venv
fi

# pip is asked again only when pyproject.toml has changed.
stamp=.venv/.setup-$what-$(cksum < pyproject.toml | tr ' ' -)
if [ ! -e "$stamp" ]; then
    case $what in
        run) groups= compile=--no-compile ;;  # the demo imports once: compiling all there is takes longer
        test)
            groups="--group test --group lint --group bench"
            # The fake NVML is compiled; where there is no C compiler the one from PyPI does.
            command -v cc >/dev/null || command -v gcc >/dev/null || groups="$groups --group compiler"
            ;;
        *) say "usage: setup.sh run|test"; exit 2 ;;
    esac
    say "installing Python packages ($what)"
    if [ -n "$groups" ]; then  # an older pip does not know --group
        .venv/bin/python -m pip install -q --disable-pip-version-check -U 'pip>=25.1'
    fi
    # shellcheck disable=SC2086  # several words on purpose
    .venv/bin/pip install -q --disable-pip-version-check ${compile:-} -e '.[top]' $groups
    touch "$stamp"
fi

# Real Debian programs that the tests run beside us are unpacked, not installed: no service starts, nothing of the
# system changes.
if [ "$what" = test ] && [ ! -e .cache/debian/.done ]; then
    command -v apt-get >/dev/null || { say "the tests need Debian or Ubuntu (they run Debian's prometheus)"; exit 1; }
    mkdir -p .cache/debian/deb
    say "unpacking Debian's prometheus and libfaketime into .cache/debian"
    (cd .cache/debian/deb && { apt-get -qq -o APT::Sandbox::User=root download prometheus libfaketime 2>/dev/null \
        || { apt update && apt-get -qq -o APT::Sandbox::User=root download prometheus libfaketime; }; })
    for deb in .cache/debian/deb/*.deb; do dpkg -x "$deb" .cache/debian; done
    rm -r .cache/debian/deb
    touch .cache/debian/.done
fi

if [ "$what" = test ]; then scripts/chromium.sh; fi
