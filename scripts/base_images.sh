#!/usr/bin/env bash
# Makes the base images that our Dockerfiles name, for a machine that has a Docker engine but cannot pull: one in a closed network, CI.
# Each gets the public image's name, so that the same Dockerfiles build. An image that is there already is left alone, pulled or made.
#
#   debian:bookworm-slim             Debian, made with debootstrap
#   python:3.11-slim-bookworm        the same with Debian's Python 3.11 and pip
#   public.ecr.aws/neuron/…neuron    the same with Python 3.10 and PyTorch 1.13.1 in the vendor's folder, and a module in torch_neuron's place
#   public.ecr.aws/neuron/…neuronx   the same with Python 3.11 and PyTorch for processors, and a module in torch_neuronx's place
#
# The last two run no Neuron device: they show that our Dockerfiles, our code and its pinned packages work with that Python and that
# PyTorch. They are made where this machine has the Python (pyenv, …) and can install the PyTorch; else this says what is missing.
#
#   scripts/base_images.sh [debian python neuron neuronx]      default: all; needs root, for debootstrap
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/docker.sh

DEBIAN=debian:bookworm-slim
PYTHON=python:3.11-slim-bookworm
NEURON=$(sed -n 's/^ARG NEURON_IMAGE=//p' containers/worker-inf1/Dockerfile)
NEURONX=$(sed -n 's/^ARG NEURON_IMAGE=//p' containers/worker-inf2/Dockerfile)

missing() { ! docker image inspect "$1" >/dev/null 2>&1; }

make_debian() {
  missing "$DEBIAN" || return 0
  [[ $(id -u) == 0 ]] || die "debootstrap wants root; or pull $DEBIAN"
  command -v debootstrap >/dev/null || die "no debootstrap here: apt-get install debootstrap"
  say "making $DEBIAN with debootstrap"
  local root; root=$(mktemp -d)/root
  # Packages come from where this machine has them from, if it is a Debian itself.
  local mirror; mirror=$(sed -n 's/^URIs: *\([^ ]*\/debian\)\/\?$/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
  debootstrap --variant=minbase --include=ca-certificates bookworm "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 || {
    tail -5 "$root.log" >&2; die "debootstrap failed, see $root.log"; }
  if [[ -f /etc/apt/sources.list.d/debian.sources ]]; then
    cp /etc/apt/sources.list.d/debian.sources "$root/etc/apt/sources.list.d/" && : >"$root/etc/apt/sources.list"
  fi
  # Whom this machine trusts, its containers must trust, too: a closed network may answer in its own name.
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  chroot "$root" update-ca-certificates >/dev/null 2>&1
  # As in the public image: neither documents nor the archives of packages.
  rm -rf "$root"/var/cache/apt/{archives/*.deb,*.bin} "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,info,locale}/*
  printf 'path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n' >"$root/etc/dpkg/dpkg.cfg.d/docker"
  # Without the caches that apt would leave in each layer, 60 MB of them
  printf '%s;\n' 'Dir::Cache::pkgcache ""' 'Dir::Cache::srcpkgcache ""' 'Acquire::Languages "none"' 'Acquire::Check-Valid-Until "false"' \
    >"$root/etc/apt/apt.conf.d/docker"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d"
  tar -C "$root" --numeric-owner -c . | docker import --change 'CMD ["bash"]' --change 'ENV LANG=C.UTF-8' \
    --message "stand-in made with debootstrap" - "$DEBIAN" >/dev/null
  rm -rf "$root" "$root.log"
}

make_python() {
  missing "$PYTHON" || return 0
  make_debian
  say "making $PYTHON of $DEBIAN"
  # The names that the public image has: python and pip in /usr/local/bin.
  build_stand_in "$PYTHON" <<DOCKERFILE
FROM $DEBIAN
RUN apt-get update -qq \\
 && apt-get install -qq -y --no-install-recommends python3.11 python3-pip python3-venv >/dev/null \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \\
 && ln -s /usr/bin/python3.11 /usr/local/bin/python && ln -s /usr/bin/python3.11 /usr/local/bin/python3 \\
 && rm -f /usr/lib/python3.11/EXTERNALLY-MANAGED
CMD ["python3"]
DOCKERFILE
}

# make_vendor IMAGE PYTHON_VERSION MODULE REQUIREMENT…: a Python of this machine in the folder where the vendor has it
make_vendor() {
  local image=$1 version=$2 module=$3; shift 3
  missing "$image" || return 0
  make_debian
  local interpreter prefix context
  interpreter=$(find_python "$version") || { say "no $image: this machine has no Python $version to put into it"; return 0; }
  say "making a stand-in of $image with Python $version and $*"
  prefix=$("$interpreter" -c 'import sys; print(sys.base_prefix)')
  context=$(mktemp -d)
  mkdir -p "$context/conda/bin" "$context/neuron/lib" && cp -a "$prefix/bin/python$version" "$context/conda/bin/"
  mkdir -p "$context/conda/lib" && cp -a "$prefix/lib/python$version" "$context/conda/lib/"
  cp -a "$prefix"/lib/libpython*.so* "$context/conda/lib/" 2>/dev/null || true
  local site=$context/conda/lib/python$version/site-packages
  rm -rf "$site" "$context/conda/lib/python$version/test" && mkdir "$site"
  # Here and not in a build: where this machine has wheels on its disk, only it can read them.
  "$interpreter" -m pip install --quiet --no-cache-dir --no-compile --target "$site" pip "$@" || {
    say "no $image: $* cannot be installed on this machine"; rm -rf "$context"; return 0; }
  cp "scripts/stand_ins/$module.py" "$site/"
  ln -s "python$version" "$context/conda/bin/python" && ln -s "python$version" "$context/conda/bin/python3"
  docker_build --file - --tag "$image" "$context" <<DOCKERFILE
FROM $DEBIAN
# What a Python that was built on this machine links with
RUN apt-get update -qq \\
 && apt-get install -qq -y --no-install-recommends libbz2-1.0 libffi8 liblzma5 libreadline8 libsqlite3-0 libssl3 zlib1g libstdc++6 libgomp1 >/dev/null \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY conda /opt/conda
COPY neuron /opt/aws/neuron
ENV PATH=/opt/conda/bin:\$PATH LD_LIBRARY_PATH=/lib/x86_64-linux-gnu:/opt/conda/lib
DOCKERFILE
  rm -rf "$context"
}

find_python() {
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/"python$1"; do
    if "$candidate" -c 'import ssl, ctypes, sqlite3' 2>/dev/null; then command -v "$candidate"; return; fi
  done
  return 1
}

build_stand_in() { docker_build --tag "$1" - ; }

make_neuron() { make_vendor "$NEURON" 3.10 torch_neuron torch==1.13.1 'numpy<1.24'; }
make_neuronx() { make_vendor "$NEURONX" 3.11 torch_neuronx torch==2.13.0 'numpy<2.5'; }

for part in "${@:-debian python neuron neuronx}"; do for name in $part; do "make_$name"; done; done
