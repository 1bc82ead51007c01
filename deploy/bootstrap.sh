#!/usr/bin/env bash
# From a bare Debian machine to one on which `make demo` or `make test` runs: Debian packages where it may, then .venv.
#
#   deploy/bootstrap.sh demo        what the demonstration needs
#   deploy/bootstrap.sh test        what the tests need as well: training, checks, PostgreSQL, strace, faketime; validators, a browser and OHIF
#
# Needs python3 (3.11 or later; PYTHON names another interpreter) or the right to install it. What it may not install
# it names, and goes on: the demonstration then plays the PACS itself, and the tests that need that peer are skipped.
#
# The tests need torch. pip takes it from where it takes everything; on a machine without a GPU, TORCH_INDEX may name
# the package index of PyTorch's CPU builds, which are ten times smaller.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly purpose=${1:-}
readonly venv=.venv
readonly log=build/bootstrap.log
readonly python=${PYTHON:-python3}
root=()
java=()

say() { printf 'bootstrap: %s\n' "$*"; }

fail() {
  say "$*" >&2
  exit 1
}

# Runs a command with its output in the log; shows the end of the log where it fails.
quietly() {
  "$@" >>"$log" 2>&1 </dev/null || {
    local status=$?
    tail -n 15 "$log" >&2
    return "$status"
  }
}

# --- Debian packages --------------------------------------------------------------------------------------------------

missing() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
  done
}

may_install() {
  command -v apt-get >/dev/null || return 1
  [ "$(id -u)" -ne 0 ] || return 0
  sudo -n true 2>/dev/null || return 1
  root=(sudo -n)
}

# Debian starts a service as soon as its package is configured. We want the programs, not a PACS or a database that
# listens on this machine: the policy forbids the start during the installation, and the unit is disabled after it.
readonly policy=/usr/sbin/policy-rc.d
forbid_services() {
  [ -e "$policy" ] && return
  trap '"${root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
  "${root[@]}" chmod 755 "$policy"
}

forbid_database_cluster() {
  local file=/etc/postgresql-common/createcluster.conf
  [ -e "$file" ] && return
  "${root[@]}" mkdir -p "${file%/*}"
  printf '# Only the programs were wanted when PostgreSQL was installed. For a cluster: pg_createcluster.\ncreate_main_cluster = false\n' |
    "${root[@]}" tee "$file" >/dev/null
}

disable_service() {
  quietly "${root[@]}" update-rc.d "$1" disable
  [ ! -d /run/systemd/system ] || quietly "${root[@]}" systemctl stop "$1"
}

apt() {
  quietly "${root[@]}" env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
    apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@"
}

# Installs what is missing of the named packages; says so and returns 1 where it may not or cannot.
debian_packages() {
  local wanted
  read -r -a wanted <<<"$(missing "$@")"
  [ ${#wanted[@]} -gt 0 ] || return 0
  may_install || {
    say "not installed, and no right to install: ${wanted[*]}"
    return 1
  }
  say "installing Debian's ${wanted[*]}"
  forbid_services
  [[ " ${wanted[*]} " != *" postgresql "* ]] || forbid_database_cluster
  if ! { apt update && apt install --no-install-recommends "${wanted[@]}"; }; then
    say "could not install ${wanted[*]}: see $log"
    return 1
  fi
  local service
  for service in orthanc postgresql prometheus rsyslog; do
    [[ " ${wanted[*]} " != *" $service "* ]] || disable_service "$service"
  done
}

# --- Python environment -----------------------------------------------------------------------------------------------

environment() {
  [ ! -x "$venv/bin/pip" ] || return 0
  "$python" -c 'import ensurepip' 2>/dev/null || debian_packages python3 python3-venv ||
    fail "Python's venv is needed: install the packages python3 and python3-venv, or name an interpreter with PYTHON=..."
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or later is needed, $python is $("$python" -V): name another interpreter with PYTHON=..."
  say "making $venv with $("$python" -V)"
  quietly "$python" -m venv "$venv"
}

processor() { if nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then echo gpu; else echo cpu; fi; }

python_packages() {
  local extras=$1
  say "installing the Python packages [$extras] into $venv (a minute or two the first time)"
  quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c deploy/constraints.txt -e ".[$extras]" ||
    fail "pip could not install the packages: see $log"
  if [ "$(processor)" = cpu ] && compgen -G "$venv/lib/python3*/site-packages/nvidia_*" >/dev/null; then
    say "torch came as its CUDA build, which this machine has no use for: TORCH_INDEX may name the index of the CPU builds"
  fi
}

# --- The viewer that slow tests look through --------------------------------------------------------------------------

digest_of() { "$python" -c 'import base64, hashlib, sys; print("sha512-" + base64.b64encode(hashlib.sha512(open(sys.argv[1], "rb").read()).digest()).decode())' "$1"; }

# OHIF as its makers built it, of the version and the digest in the lock file, unpacked into the environment.
viewer() {
  local package version digest archive folder=$venv/share/ohif
  read -r package version digest < <(grep -v '^#' deploy/ohif.lock)
  [ "$(cat "$folder/digest" 2>/dev/null)" != "$digest" ] || return 0
  command -v npm >/dev/null || debian_packages npm || return 1
  say "installing OHIF $version into $folder"
  archive=build/$(cd build && npm pack --silent "$package@$version") || return 1
  [ "$(digest_of "$archive")" = "$digest" ] || {
    say "$package $version is not what deploy/ohif.lock says: its digest is $(digest_of "$archive")"
    return 1
  }
  rm -rf "$folder"
  mkdir -p "$folder"
  tar -xzf "$archive" -C "$folder" --strip-components=1
  printf '%s' "$digest" >"$folder/digest"
  rm "$archive"
}

mkdir -p build
case $purpose in
  demo)
    debian_packages orthanc orthanc-dicomweb dcmtk || say "the demonstration goes on with an embedded PACS"
    environment
    python_packages "$(processor),demo"
    ;;
  test)
    debian_packages orthanc orthanc-dicomweb dcmtk openjph-tools poppler-utils postgresql strace faketime || say "the tests that need them will be skipped"
    debian_packages logrotate nftables prometheus rsyslog rsyslog-gnutls shellcheck systemd || say "some tests of deployment will be skipped"
    command -v java >/dev/null || java=(default-jre-headless)
    debian_packages chromium libpixelmed-java libslf4j-java "${java[@]}" || say "the slow tests that need them will be skipped"
    environment
    python_packages "$(processor),demo,train,dev"
    viewer || say "the slow tests that look through OHIF will be skipped"
    ;;
  *) fail "say what for: $0 demo | test" ;;
esac
say "ready for $purpose"
