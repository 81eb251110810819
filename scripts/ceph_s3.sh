#!/usr/bin/env bash
# ceph_s3.sh up|down [DIR]: a real S3 server with STS (Ceph RGW, one node, objects in memory) on 127.0.0.1:7480, for tests.
#
# moto, our embedded default, forgives what production servers do not; this is a server that people run in production.
# Needs Debian's or Ubuntu's ceph-mon ceph-mgr ceph-osd radosgw ceph-common. Access key MEDIAKEY, secret MEDIASECRET.
set -euo pipefail
action=${1:?up or down} dir=$(realpath -m "${2:-${TMPDIR:-/tmp}/reelflow-ceph}")
conf=$dir/ceph.conf log=$dir/log/up.log

stop() {
  local file pid
  for file in "$dir"/run/*.pid; do
    [[ -f $file ]] || continue
    pid=$(<"$file")
    # Only what this script started: a recycled pid has another command line.
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$conf"; then kill "$pid" 2>/dev/null || true; fi
  done
}
fail() { tail -n 5 "$log" >&2; echo "ceph_s3.sh: the server did not start, see $log" >&2; stop; exit 1; }

case $action in
  down) stop; exit 0 ;;
  up) stop; sleep 1; rm -rf "$dir"; mkdir -p "$dir"/data/{mon.a,osd.0,rgw,mgr.x} "$dir/run" "$dir/log" ;;
  *) echo "usage: $0 up|down [DIR]" >&2; exit 2 ;;
esac

fsid=$(</proc/sys/kernel/random/uuid) osd=$(</proc/sys/kernel/random/uuid)
cat >"$conf" <<CONF
[global]
fsid = $fsid
mon host = v2:127.0.0.1:3300,v1:127.0.0.1:6789
public addr = 127.0.0.1
keyring = $dir/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 1
run dir = $dir/run
admin socket = $dir/run/\$name.asok
log file = $dir/log/\$name.log
pid file = $dir/run/\$name.pid
[mon.a]
mon data = $dir/data/mon.a
[mgr.x]
mgr data = $dir/data/mgr.x
[osd.0]
osd data = $dir/data/osd.0
osd objectstore = memstore
memstore device bytes = 6442450944
[client.rgw.a]
rgw data = $dir/data/rgw
rgw frontends = beast endpoint=127.0.0.1:7480
rgw s3 auth use sts = true
rgw sts key = abcdefghijklmnop
CONF
export CEPH_CONF=$conf
{
  ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *'
  ceph-authtool "$dir/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  ceph-authtool "$dir/keyring" --gen-key -n client.rgw.a --cap mon 'allow rw' --cap osd 'allow rwx' --cap mgr 'allow rw'
  ceph-authtool "$dir/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd'
  ceph-authtool "$dir/keyring" --gen-key -n mgr.x --cap mon 'allow profile mgr' --cap osd 'allow *' --cap mds 'allow *'
  monmaptool --create --fsid "$fsid" --addv a '[v2:127.0.0.1:3300,v1:127.0.0.1:6789]' "$dir/monmap" --clobber
  ceph-mon -c "$conf" -i a --mkfs --monmap "$dir/monmap" --keyring "$dir/keyring"
  ceph-mon -c "$conf" -i a
  timeout 30 ceph -c "$conf" -s
  ceph-mgr -c "$conf" -i x
  ceph -c "$conf" osd new "$osd" 0
  ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd"
  ceph-osd -c "$conf" -i 0
  radosgw -c "$conf" -n client.rgw.a
} >"$log" 2>&1 || fail
for _ in $(seq 60); do curl -s -o /dev/null http://127.0.0.1:7480/ && break; sleep 1; done
radosgw-admin -c "$conf" user create --uid media --display-name media --access-key MEDIAKEY --secret-key MEDIASECRET >>"$log" 2>&1 || fail
# A role that may do all: what credentials of an upload cannot do, their session policy refuses.
trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/media"]},"Action":["sts:AssumeRole"]}]}'
allow='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}'
{
  radosgw-admin -c "$conf" role create --role-name uploader --assume-role-policy-doc "$trust"
  radosgw-admin -c "$conf" role-policy put --role-name uploader --policy-name all --policy-doc "$allow"
} >>"$log" 2>&1 || fail
echo "S3 and STS on http://127.0.0.1:7480 (MEDIAKEY/MEDIASECRET, role arn:aws:iam:::role/uploader)"
