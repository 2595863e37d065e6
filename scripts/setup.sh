#!/bin/sh
# Sets up what one make target needs: setup.sh run|top|test. Everything lands in .venv and .cache of this checkout;
# the system itself gets a package only where Python's venv module is missing.
set -eu
what=${1:-}
case $what in run | top | test) ;; *) printf 'usage: setup.sh run|top|test\n' >&2; exit 2 ;; esac
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

# pip comes at its newest from the wheel that Python brings: installing the old one first takes five seconds, and
# an old one (Debian 12 has 23.0) needs twice as long for what follows.
get_pip() {
    wheel=$("$python" -c '
import ensurepip, pathlib, sysconfig
folders = sysconfig.get_config_var("WHEEL_PKG_DIR"), pathlib.Path(ensurepip.__file__).parent / "_bundled"
print(next(str(wheel) for folder in folders if folder for wheel in pathlib.Path(folder).glob("pip-*.whl")))')
    .venv/bin/python "$wheel/pip" install -q --disable-pip-version-check --no-compile 'pip>=25.1'
}

if [ ! -x .venv/bin/pip ]; then
    "$python" -c 'import ensurepip' 2>/dev/null || { say "installing python3-venv"; apt update; apt install -y python3-venv; }
    say "making .venv with $("$python" --version)"
    "$python" -m venv --without-pip .venv
    get_pip || .venv/bin/python -m ensurepip --default-pip >/dev/null
fi

# Real Debian programs that the tests run beside us are unpacked, not installed: no service starts, nothing of the
# system changes.
debian_programs() {
    wanted='prometheus prometheus-alertmanager victoria-metrics libfaketime systemd libsystemd-shared libip4tc2 libkmod2'
    done=.cache/debian/.done-$(printf %s "$wanted" | cksum | cut -d ' ' -f 1)
    if [ ! -e "$done" ]; then
        command -v apt-get >/dev/null || { say "the tests need Debian or Ubuntu (they run Debian's prometheus)"; return 1; }
        mkdir -p .cache/debian/deb
        say "unpacking Debian's $wanted into .cache/debian"
        # shellcheck disable=SC2086  # several words on purpose
        (cd .cache/debian/deb && { apt-get -qq -o APT::Sandbox::User=root download $wanted 2>/dev/null \
            || { apt update && apt-get -qq -o APT::Sandbox::User=root download $wanted; }; }) || return 1
        for deb in .cache/debian/deb/*.deb; do dpkg -x "$deb" .cache/debian || return 1; done
        rm -r .cache/debian/deb
        touch "$done"
    fi
    scripts/chromium.sh
}

# They are fetched while pip works.
programs=
if [ "$what" = test ]; then debian_programs & programs=$!; fi

# What pyproject.toml names, one a line: requirements EXTRA-OR-GROUP …
requirements() {
    .venv/bin/python - "$@" <<'PY'
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    told = tomllib.load(file)
chosen = told["project"]["optional-dependencies"] | told["dependency-groups"]
print(*told["project"]["dependencies"], *(line for name in sys.argv[1:] for line in chosen[name]), sep="\n")
PY
}

# The checkout is run where it lies: found by a .pth, started by a script. An editable wheel is the same, and its
# build takes seconds.
link() {
    site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$here" > "$site/rackwatt-checkout.pth"
    cat > .venv/bin/rackwatt <<'RUN'
#!/bin/sh
bin=$(dirname -- "$(readlink -f -- "$0")")
exec "$bin/python" -P -c 'import sys; from agent.cli import main; sys.exit(main())' "$@"
RUN
    chmod +x .venv/bin/rackwatt
}

# pip is asked again only when pyproject.toml has changed.
stamp=.venv/.setup-$what-$(cksum < pyproject.toml | tr ' ' -)
if [ ! -e "$stamp" ]; then
    case $what in
        run) chosen= ;;
        top) chosen=top ;;
        test)
            chosen="top test lint bench"
            # The fake NVML is compiled; where there is no C compiler the one from PyPI does.
            command -v cc >/dev/null || command -v gcc >/dev/null || chosen="$chosen compiler"
            ;;
    esac
    say "installing Python packages ($what)"
    # shellcheck disable=SC2086  # several words on purpose
    requirements $chosen > .venv/requirements.txt
    # Not compiled: what is imported is then compiled once; all there is takes longer.
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-compile -r .venv/requirements.txt
    link
    touch "$stamp"
fi

if [ -n "$programs" ]; then wait "$programs"; fi
