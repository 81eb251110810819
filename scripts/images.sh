#!/usr/bin/env bash
# Builds our images, all or those named: scripts/images.sh [--missing] [airflow worker-cpu worker-cuda worker-inf1 worker-inf2]
# Their names are $IMAGE_PREFIX<folder below containers/>:$IMAGE_TAG, by default reelflow/worker-cpu:latest and so on.
#
#   --missing     only images that are not there
#   STAND_INS=1   where base images cannot be pulled, make stand-ins of them (scripts/base_images.sh), and pass over an image whose
#                 base cannot be made here either; without it, that is an error
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/docker.sh

IMAGE_PREFIX=${IMAGE_PREFIX-reelflow/} IMAGE_TAG=${IMAGE_TAG:-latest}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# The time of the commit and not of the build: what has not changed is not built again.
created=$(git show -s --format=%cI HEAD 2>/dev/null || date -u +%FT%TZ)

there() { docker image inspect "$1" >/dev/null 2>&1; }

# have_bases NAME: whether the base images of a Dockerfile are there, after getting those that are not
have_bases() {
  local base
  while read -r base; do
    there "$base" && continue
    [[ ${STAND_INS:-} ]] || { timeout 1800 docker pull --quiet "$base" >/dev/null && continue; }
    [[ ${STAND_INS:-} ]] || die "$base can be neither found nor pulled. On a machine without a registry: STAND_INS=1 (scripts/base_images.sh)"
    case $base in
      debian:*) bash scripts/base_images.sh debian ;;
      python:*) bash scripts/base_images.sh python ;;
      *inference-neuron:*) bash scripts/base_images.sh neuron ;;
      *inference-neuronx:*) bash scripts/base_images.sh neuronx ;;
    esac
    there "$base" || return 1
  done < <(sed -n 's/^ARG [A-Z]*_IMAGE=//p' "containers/$1/Dockerfile")
}

missing=
[[ ${1:-} != --missing ]] || { missing=1; shift; }
names=("$@")
[[ $# -gt 0 ]] || mapfile -t names < <(cd containers && printf '%s\n' */Dockerfile | xargs -n1 dirname)
for name in "${names[@]}"; do
  [[ -f containers/$name/Dockerfile ]] || die "there is no containers/$name/Dockerfile"
  image=$IMAGE_PREFIX$name:$IMAGE_TAG
  [[ ! $missing ]] || ! there "$image" || continue
  have_bases "$name" || { say "passing over $image: its base image cannot be made here"; continue; }
  say "building $image"
  SECONDS=0
  docker_build --quiet --file "containers/$name/Dockerfile" --tag "$image" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created" . >/dev/null
  printf '    %s MB, %d s\n' "$(($(docker image inspect --format '{{.Size}}' "$image") / 1000000))" "$SECONDS"
done
