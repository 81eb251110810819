#!/bin/sh
# A moto server in the place of an object server or of DynamoDB local; what the real one's command line says is not looked at.
# The file of identities that docker-compose.yaml writes for SeaweedFS must be good JSON all the same.
set -eu
[ ! -f /tmp/s3.json ] || python -m json.tool /tmp/s3.json >/dev/null
if [ -n "${STAND_IN_BUCKET:-}" ]; then
  (
    until python - <<'PYTHON'
import os, urllib.request
url = f"http://127.0.0.1:{os.environ['STAND_IN_PORT']}/{os.environ['STAND_IN_BUCKET']}"
credential = "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request"
urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers={"Authorization": credential}), timeout=5)
PYTHON
    do sleep 0.5; done 2>/dev/null
  ) &
fi
exec python -m moto.server -H 0.0.0.0 -p "$STAND_IN_PORT" 2>/dev/null
