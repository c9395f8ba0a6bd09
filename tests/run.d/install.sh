# shellcheck shell=bash
# What the tests need and a bare machine lacks. Each is installed once, into the cache, by the part
# that uses it.

: "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}"
export HOME
cache="$HOME/.cache/logkey"

# From source, through the Go proxy.
buf_version=v1.75.0
grpcurl_version=v1.9.3
tessera_version=v1.0.4

# Folders, and a toolchain that is found although HOME is not where it was installed.
prepare() {
  mkdir -p "$cache"/{bin,log,go,npm,pip}
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}" CARGO_NET_RETRY=10
  export GOBIN="$cache/bin" GOMODCACHE="$cache/go/mod" GOCACHE="$cache/go/build"
  export PIP_CACHE_DIR="$cache/pip" PIP_DISABLE_PIP_VERSION_CHECK=1 npm_config_cache="$cache/npm"
  export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
  if ! cargo --version >/dev/null 2>&1; then find_rustup; fi
  need cargo
}

# rustup looks for its toolchains under HOME; they may stand beside the cargo in PATH instead.
find_rustup() {
  local cargo home
  cargo=$(command -v cargo) || return 0
  for home in "$(dirname "$cargo")/../../.rustup" "$(getent passwd "$(id -u)" | cut -d: -f6)/.rustup"; do
    if RUSTUP_HOME=$home cargo --version >/dev/null 2>&1; then
      RUSTUP_HOME=$(cd "$home" && pwd)
      export RUSTUP_HOME
      return 0
    fi
  done
}

need() {
  if ! "$1" --version >/dev/null 2>&1 && ! "$1" version >/dev/null 2>&1; then
    echo "tests/run: $1 is missing or cannot start; install it first" >&2
    exit 1
  fi
}

as_root() {
  if (($(id -u) == 0)); then "$@"; else sudo -n "$@"; fi
}

debian_package() {
  echo "installing the Debian package $1"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3)
  as_root "${apt[@]}" update && as_root "${apt[@]}" install --no-install-recommends "$1" >/dev/null
}

# The same from the backports of this release, for what the release itself lacks. Only this command sees them.
debian_backport() {
  local list="$cache/backports.list"
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg
  echo "installing $1 from the backports"
  apt-get indextargets --format "deb [signed-by=$keys] \$(REPO_URI) \$(CODENAME) main" \
    'Created-By: Packages' "Codename: $(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)" |
    sort --unique | sed 'p; s/ main$/-backports main/' >"$list"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3
    -o "Dir::Etc::SourceList=$list" -o Dir::Etc::SourceParts=-)
  as_root "${apt[@]}" update && as_root "${apt[@]}" install --no-install-recommends "$1" >/dev/null
}

# go_tool NAME MODULE VERSION: builds a command from source, once a version.
go_tool() {
  local kept="$cache/bin/$1-$3"
  [[ -x $kept ]] && return 0
  need go
  echo "building $2@$3"
  GOFLAGS="-modcacherw -buildvcs=false" go install "$2@$3" 2>&1 | grep -v '^go: downloading' >&2
  mv "$cache/bin/$1" "$kept"
}

# python_env NAME REQUIREMENTS: a virtual environment, made anew where the requirements changed.
# Leaves its folder in $venv.
python_env() {
  venv="$cache/venv-$1"
  cmp -s "$2" "$venv/installed" && return 0
  echo "installing $2"
  rm -rf "$venv"
  if ! python3 -m venv "$venv" 2>/dev/null; then
    debian_package python3-venv && python3 -m venv --clear "$venv" || return
  fi
  "$venv/bin/pip" install --quiet --requirement "$2" && cp "$2" "$venv/installed"
}

# node_env FOLDER: the packages that its lock file names.
node_env() {
  cmp -s "$1/package-lock.json" "$1/node_modules/installed" && return 0
  echo "installing $1/package-lock.json"
  command -v npm >/dev/null || debian_package npm || return
  npm ci --prefix "$1" --ignore-scripts --no-progress &&
    cp "$1/package-lock.json" "$1/node_modules/installed"
}
