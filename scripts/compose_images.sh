#!/usr/bin/env bash
# Makes stand-ins of the public images that docker-compose.yaml names, for a machine that has a Docker engine but cannot pull: one in
# a closed network, CI. They bear the public images' names and take the same commands, so that the same file comes up and can be
# tested. An image that is there already is left alone. Never use them for anything else:
#
#   postgres, valkey, prometheus   Debian's own packages: other versions, the same programs (Redis for Valkey)
#   seaweedfs, dynamodb-local      moto servers: S3 and DynamoDB in memory, which check no signature
#   statsd-exporter                a few lines of Python that know what monitoring/statsd.yaml uses
#   grafana                        none: no package of it is free to be had; its dashboards are tested without it
#
#   scripts/compose_images.sh      after scripts/base_images.sh python and scripts/images.sh airflow
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/docker.sh

PYTHON=python:3.11-slim-bookworm
AIRFLOW=${IMAGE_PREFIX-reelflow/}airflow:${IMAGE_TAG:-latest}
INSTALL="export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -qq -y --no-install-recommends"
DONE=">/dev/null && rm -rf /var/lib/apt/lists/*"

# Name and version as the compose file has them.
named() { grep -o "image: $1:[^ ]*" docker-compose.yaml | head -1 | cut -d' ' -f2; }

# stand_in IMAGE-NAME [FILE…] < Dockerfile: builds it, with these files of scripts/stand_ins, unless it is there
stand_in() {
  local image; image=$(named "$1"); shift
  [[ -n $image ]] || die "docker-compose.yaml names no image $1"
  docker image inspect "$image" >/dev/null 2>&1 && return
  say "making a stand-in of $image"
  local context; context=$(mktemp -d)
  cat >"$context/Dockerfile"
  for file in "$@"; do cp "scripts/stand_ins/$file" "$context/"; done
  docker_build --quiet --tag "$image" "$context" >/dev/null || die "$image could not be made"
  rm -rf "$context"
}

docker image inspect "$PYTHON" >/dev/null 2>&1 || scripts/base_images.sh python

stand_in postgres postgres.sh <<DOCKERFILE
FROM $PYTHON
RUN $INSTALL postgresql-15 $DONE
ENV PATH=/usr/lib/postgresql/15/bin:\$PATH PGDATA=/var/lib/postgresql/data
COPY postgres.sh /usr/local/bin/docker-entrypoint.sh
RUN install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data && install -d -o postgres -m 0775 /var/run/postgresql
USER postgres
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "/usr/local/bin/docker-entrypoint.sh"]
DOCKERFILE

stand_in valkey/valkey <<DOCKERFILE
FROM $PYTHON
RUN $INSTALL redis-server $DONE \\
 && ln -s /usr/bin/redis-server /usr/local/bin/valkey-server && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli \\
 && install -d -o redis /data
USER redis
WORKDIR /data
DOCKERFILE

stand_in prom/prometheus <<DOCKERFILE
FROM $PYTHON
RUN $INSTALL prometheus wget $DONE && install -d -o prometheus /prometheus
USER prometheus
ENTRYPOINT ["prometheus"]
DOCKERFILE

# moto is in our own image.
docker image inspect "$AIRFLOW" >/dev/null 2>&1 || die "$AIRFLOW is not there: scripts/images.sh airflow"

# What screens need was taken out of that image, which apt wants back before it installs anything.
MORE="export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -qq -y --fix-broken >/dev/null && apt-get install -qq -y --no-install-recommends wget curl $DONE"

# Its own command line is not looked at; the health check asks for /status, which here is a bucket.
stand_in chrislusf/seaweedfs moto.sh <<DOCKERFILE
FROM $AIRFLOW
USER root
RUN $MORE
COPY moto.sh /usr/local/bin/weed
RUN chmod +x /usr/local/bin/weed
ENV STAND_IN_PORT=8333 STAND_IN_BUCKET=status
DOCKERFILE

stand_in amazon/dynamodb-local moto.sh <<DOCKERFILE
FROM $AIRFLOW
USER root
RUN $MORE && install -d /home/dynamodblocal/data
COPY moto.sh /usr/local/bin/java
RUN chmod +x /usr/local/bin/java
ENV STAND_IN_PORT=8000
ENTRYPOINT ["java"]
DOCKERFILE

stand_in prom/statsd-exporter statsd_exporter.py <<DOCKERFILE
FROM $AIRFLOW
USER root
RUN $MORE
COPY statsd_exporter.py /usr/local/bin/statsd_exporter.py
USER 50000
ENTRYPOINT ["python", "/usr/local/bin/statsd_exporter.py"]
DOCKERFILE
