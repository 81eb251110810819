#!/usr/bin/env bash
# Makes what MWAA wants in its bucket: dags/, plugins.zip, requirements.txt, startup.sh.
#
#   infra/mwaa/package.sh FOLDER [ENVIRONMENT_FILE]
#
# ENVIRONMENT_FILE holds the settings, one NAME=value a line: the output `Environment` of the stack (docs/aws.md).
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:?usage: infra/mwaa/package.sh FOLDER [ENVIRONMENT_FILE]}
settings=${2:-/dev/null}
mkdir -p "$folder/dags"
folder=$(cd "$folder" && pwd)

cp dags/*.py "$folder/dags/"

# Airflow imports every Python file of its plugin folder as a plugin, and `include` is none; its folder is on the search path of all
# parts of an environment, though, the web server too, where DAG folders are not.
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp plugins/*.py "$stage/"
printf 'include/\n' >"$stage/.airflowignore"
mkdir "$stage/include"
# Weights, training and the one-machine stack have no place on a web server.
tar -C include --exclude __pycache__ --exclude weights --exclude training --exclude embedded --exclude compose -cf - . | tar -C "$stage/include" -xf -
rm -f "$folder/plugins.zip"
(cd "$stage" && python3 -m zipfile -c "$folder/plugins.zip" .airflowignore ./*.py include)

# The versions that were tested: each requirement as our own lock has it.
python3 - requirements.txt infra/mwaa/requirements.txt >"$folder/requirements.txt" <<'PYTHON'
import re, sys
lock = {}
for line in open(sys.argv[1]):
    if found := re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", line):
        lock[found[1].lower().replace("_", "-")] = found[2]
for line in open(sys.argv[2]):
    found = re.match(r"([A-Za-z0-9._-]+)(\[[^\]]*\])?$", line.strip())
    if found and not line.startswith("#"):
        name = found[1].lower().replace("_", "-")
        print(f"{found[1]}{found[2] or ''}=={lock[name]}")
    else:
        print(line, end="")
PYTHON

# Values are quoted for the shell whatever is in them.
python3 - infra/mwaa/startup.sh "$settings" >"$folder/startup.sh" <<'PYTHON'
import shlex, sys
lines = [line.strip().partition("=") for line in open(sys.argv[2]) if "=" in line and not line.startswith("#")]
exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, _, value in lines)
print(open(sys.argv[1]).read().replace("# @SETTINGS@", exports), end="")
PYTHON
chmod +x "$folder/startup.sh"
echo "packaged for MWAA: $folder"
