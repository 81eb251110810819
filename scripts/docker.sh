# Sourced by the scripts that build images: how this machine's builds reach the network.
say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

docker version >/dev/null 2>&1 || die "no Docker engine answers (docker version)"

# Build arguments for pip that say what this machine's own pip is told, by its environment or its configuration. Nothing of that is
# written into a file. Folders and files of this machine are left out, since no build sees them; certificates only where a base
# image has them, too.
pip_arguments() {
  local name variable value
  for name in index-url extra-index-url trusted-host; do
    variable=PIP_${name^^} variable=${variable//-/_}
    value=${!variable:-$(python3 -m pip config get "global.$name" 2>/dev/null || true)}
    value=$(tr -s ' \n' '\n' <<<"$value" | sed '/^file:/d' | xargs)
    [[ -z $value ]] || printf '%s\n' --build-arg "$variable=$value"
  done
  [[ ${PIP_CERT:-} != /etc/ssl/certs/ca-certificates.crt ]] || printf '%s\n' --build-arg "PIP_CERT=$PIP_CERT"
}

# docker_build ARGUMENTS…: with the builder that every engine has (our Dockerfiles want no BuildKit), on the host's network, whose
# way to the world is known.
docker_build() {
  local arguments name
  mapfile -t arguments < <(pip_arguments)
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [[ -z ${!name:-} ]] || arguments+=(--build-arg "$name")
  done
  # Newer clients complain of it each time.
  DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} docker build --network host --force-rm "${arguments[@]}" "$@" \
    2> >(grep -v -e '^DEPRECATED: The legacy' -e 'BuildKit is currently disabled' -e '^ *environment-variable' -e '^$' -e 'were not consumed' >&2)
}
