#!/usr/bin/env bash
# Makes local stand-ins for the public base images that deploy/Dockerfile and docker-compose.yml
# name, for a machine whose Docker engine can pull nothing. An image that is there already (or
# was pulled) is left alone; every stand-in carries the label `stand-in`.
#
#   make-base-images.sh [slim] [postgres] [otel] [rust]      (default: the first three)
#
#   slim      Debian, from its archive by mmdebstrap
#   postgres  the above with Debian's own PostgreSQL of that major
#   otel      Rotel (PyPI) under the tags of the collector and of the trace UI: it takes OTLP and
#             prints every span, whatever its configuration says; there is no UI in it
#   rust      slim with gcc and this machine's toolchain: only for BINARIES=compiled, 1.3 GB
#
# Needs root, a running engine (engine.sh up), apt, pip and, for `rust`, the toolchain.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")

# The tags are the ones that the project's own files name.
image() { # $1: a pattern of the image's name in docker-compose.yml
  sed -nE "s#^ *image: *($1:[^ ]+).*#\\1#p" "$root/docker-compose.yml" | head -1
}
from() { # $1: an ARG of the Dockerfile
  sed -nE "s#^ARG $1=(.*)#\\1#p" "$here/Dockerfile" | head -1
}
slim_tag=$(from SLIM_IMAGE)
rust_tag=$(from RUST_IMAGE)
pg_tag=$(image postgres)
otel_tag=$(image otel/opentelemetry-collector)
ui_tag=$(image jaegertracing/jaeger)

work=$(mktemp -d "${TMPDIR:-/tmp}/base-images.XXXXXX")
trap 'rm -rf "$work"' EXIT

have() { docker image inspect "$1" >/dev/null 2>&1; }
# The plain builder: it needs no plugin, and these files need nothing of BuildKit.
build() { DOCKER_BUILDKIT=0 docker build -q "$@" >/dev/null 2>"$work/build.log" || { cat "$work/build.log" >&2; return 1; }; }

bootstrap() { # SUITE TAG
  if have "$2"; then echo "$2: there already"; return; fi
  if ! command -v mmdebstrap >/dev/null; then
    apt-get -o DPkg::Lock::Timeout=300 update -qq
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends mmdebstrap >/dev/null
  fi
  # Like the real slim image: no docs, no man pages, no ca-certificates. Unlike it, it holds the
  # certificates that this machine trusts besides Debian's, where the package ca-certificates
  # picks them up, so that clients inside `docker build` trust the same.
  mmdebstrap --quiet --variant=minbase \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    "$1" "$work/$1.tar" </dev/null
  docker import -c 'CMD ["bash"]' -c 'LABEL stand-in="slim"' "$work/$1.tar" "stand-in/$1:raw" >/dev/null
  rm -f "$work/$1.tar"
  mkdir -p "$work/$1/ca"
  find /usr/local/share/ca-certificates -name '*.crt' -exec cp -L {} "$work/$1/ca/" \; 2>/dev/null || true
  touch "$work/$1/ca/.keep"
  printf 'FROM stand-in/%s:raw\nCOPY ca/ /usr/local/share/ca-certificates/\n' "$1" >"$work/$1/Dockerfile"
  build -t "$2" "$work/$1"
  docker rmi "stand-in/$1:raw" >/dev/null 2>&1 || true
  echo "$2: made"
}

slim() { local suite=${slim_tag#debian:}; bootstrap "${suite%-slim}" "$slim_tag"; }

rust() {
  if have "$rust_tag"; then echo "$rust_tag: there already"; return; fi
  slim
  local toolchain container; toolchain=$(rustc --print sysroot)
  mkdir -p "$work/rust"
  cat >"$work/rust/Dockerfile" <<D
FROM $slim_tag
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo \\
    PATH=/usr/local/cargo/bin:/usr/local/rustup/toolchain/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends \\
      ca-certificates gcc g++ make libc6-dev pkg-config libssl-dev zlib1g-dev git curl xz-utils \\
    >/dev/null && rm -rf /var/lib/apt/lists/*
LABEL stand-in="rust"
D
  build -t stand-in/rust:raw "$work/rust"
  container=$(docker create stand-in/rust:raw true)
  # The toolchain without its documentation (most of its size).
  tar -C "$toolchain" --exclude=./share --exclude=./etc --transform 's,^\.,usr/local/rustup/toolchain,' -cf - . \
    | docker cp - "$container":/ >/dev/null
  docker commit "$container" "$rust_tag" >/dev/null
  docker rm "$container" >/dev/null
  echo "$rust_tag: made"
}

postgres() {
  if have "$pg_tag"; then echo "$pg_tag: there already"; return; fi
  local major=${pg_tag#postgres:} suite=${pg_tag##*-} base
  major=${major%%-*}
  base=debian:$suite-slim
  bootstrap "$suite" "$base"
  mkdir -p "$work/pg"
  cp "$here/base-images/postgres-entrypoint.sh" "$work/pg/docker-entrypoint.sh"
  cat >"$work/pg/Dockerfile" <<D
FROM $base
RUN groupadd -r postgres --gid=999 && useradd -r -g postgres --uid=999 --home-dir=/var/lib/postgresql --shell=/bin/bash postgres \\
 && install -d -o postgres -g postgres /var/lib/postgresql /docker-entrypoint-initdb.d \\
 && install -d -o postgres -g postgres -m 3777 /var/run/postgresql
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null \\
 && sed -ri 's/#(create_main_cluster).*/\\1 = false/' /etc/postgresql-common/createcluster.conf \\
 && apt-get install -y -qq --no-install-recommends postgresql-$major >/dev/null && rm -rf /var/lib/apt/lists/*
ENV PATH=/usr/lib/postgresql/$major/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    LANG=C.UTF-8 PG_MAJOR=$major PGDATA=/var/lib/postgresql/data
COPY docker-entrypoint.sh /usr/local/bin/
VOLUME /var/lib/postgresql/data
LABEL stand-in="postgres"
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
D
  build -t "$pg_tag" "$work/pg"
  echo "$pg_tag: made"
}

otel() {
  if have "$otel_tag" && have "$ui_tag"; then echo "$otel_tag, $ui_tag: there already"; return; fi
  mkdir -p "$work/otel"
  pip download -q --no-deps --only-binary :all: --python-version 3.11 --platform manylinux_2_34_x86_64 \
    -d "$work/otel" rotel==0.0.1a15
  python3 - "$work/otel" <<'P'
import glob, os, sys, zipfile
folder = sys.argv[1]
wheel = glob.glob(folder + "/*.whl")[0]
with open(folder + "/rotel-agent", "wb") as out:
    out.write(zipfile.ZipFile(wheel).read("rotel/rotel-agent"))
os.chmod(folder + "/rotel-agent", 0o755)
os.remove(wheel)
P
  # It needs Python 3.11's library, so Debian 12 whatever the suite of the others.
  bootstrap bookworm debian:bookworm-slim
  cat >"$work/otel/Dockerfile" <<'D'
FROM debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libpython3.11 >/dev/null && rm -rf /var/lib/apt/lists/*
COPY rotel-agent /usr/local/bin/rotel
LABEL stand-in="otel"
ENTRYPOINT ["/bin/sh", "-c", "exec rotel start --otlp-grpc-endpoint 0.0.0.0:4317 --otlp-http-endpoint 0.0.0.0:4318 --exporter blackhole --debug-log traces --debug-log-verbosity detailed"]
D
  build -t stand-in/otel:made "$work/otel"
  local tag
  for tag in "$otel_tag" "$ui_tag"; do
    have "$tag" || { docker tag stand-in/otel:made "$tag"; echo "$tag: made"; }
  done
}

if [ $# -eq 0 ]; then set -- slim postgres otel; fi
for what in "$@"; do
  case $what in slim|rust|postgres|otel) "$what" ;; *) echo "unknown: $what" >&2; exit 2 ;; esac
done
