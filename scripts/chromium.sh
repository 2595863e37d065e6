#!/bin/sh
# Brings Chromium for the browser tests into .cache/chromium: Debian's packages, unpacked, not installed. Where that
# does not give a browser that runs, apt installs it. .cache/chromium/chromium is what the tests start.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$here"
root=$here/.cache/chromium
packages="chromium fonts-dejavu-core"
say() { printf 'setup: %s\n' "$*" >&2; }
apt() { apt-get -qq -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300 "$@"; }
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
        say "needs root for: $*"; exit 1; fi
}
runs() {  # whether a browser starts and draws a page
    timeout 60 "$1" --headless --no-sandbox --disable-gpu --user-data-dir="$root/profile" --dump-dom \
        'data:text/html,<p>drawn</p>' 2>/dev/null | grep -q drawn
}

[ ! -e "$root/.done" ] || exit 0
command -v apt-get >/dev/null || { say "the browser tests need Debian or Ubuntu (they run Debian's chromium)"; exit 1; }
rm -rf "$root" && mkdir -p "$root/deb"

fetch() {  # what apt would install: the browser and what of its libraries and fonts this system has not
    # shellcheck disable=SC2086  # several words on purpose
    needed=$(apt -s install --no-install-recommends $packages | awk '$1 == "Inst" {print $2}') \
        && [ -n "$needed" ] || return 1
    # shellcheck disable=SC2086
    (cd "$root/deb" && rm -f -- *.deb && apt download $needed)
}

unpack() {
    for deb in "$root"/deb/*.deb; do dpkg -x "$deb" "$root"; done
    rm -r "$root/deb"
    libraries=$(find "$root" -name '*.so*' -exec dirname {} + | sort -u | paste -sd:)
    cat > "$root/fonts.conf" <<CONF
<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
<dir>$root/usr/share/fonts</dir><dir>/usr/share/fonts</dir><cachedir>$root/fontcache</cachedir>
<match><edit name="family" mode="append_last"><string>DejaVu Sans</string></edit></match>
</fontconfig>
CONF
    cat > "$root/chromium" <<RUN
#!/bin/sh
export LD_LIBRARY_PATH="$libraries" FONTCONFIG_FILE="$root/fonts.conf"
exec "$root/usr/lib/chromium/chromium" "\$@"
RUN
    chmod +x "$root/chromium"
}

if command -v chromium >/dev/null; then
    ln -sf "$(command -v chromium)" "$root/chromium"
else
    say "unpacking Debian's chromium into .cache/chromium"
    { fetch 2>/dev/null || { as_root apt-get -qq update && fetch; }; } && unpack || true
fi
if ! runs "$root/chromium"; then
    say "the unpacked chromium does not run here; installing it"
    as_root apt-get -qq update
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $packages
    ln -sf "$(command -v chromium)" "$root/chromium"
    runs "$root/chromium" || { say "chromium does not start: try $root/chromium --headless --no-sandbox --dump-dom about:blank"; exit 1; }
fi
touch "$root/.done"
