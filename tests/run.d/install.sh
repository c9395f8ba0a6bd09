# shellcheck shell=bash
# Installs what the tests need. Each part installs its tools once, into the cache.

: "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}"
export HOME
cache="$HOME/.cache/logkey"

# Built from source, through the Go module proxy.
buf_version=v1.75.0
grpcurl_version=v1.9.3
tessera_version=v1.0.4
connectconformance_version=v1.0.7
cargo_deny_version=0.20.2
cargo_deb_version=3.8.0
cargo_generate_rpm_version=0.21.1
helm_version=v3.19.0
# Their definitions of custom resources.
prometheus_operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
gateway_api=sigs.k8s.io/gateway-api@v1.4.0
protoc_gen_go_version=v1.36.12
protoc_gen_go_grpc_version=v1.6.2
# Programs from Maven.
protoc_version=4.36.2
grpc_java_version=1.83.1

# Creates the cache directories and sets the environment. Also finds a Rust toolchain that was installed
# under another HOME.
prepare() {
  mkdir -p "$cache"/{bin,log,go,npm,pip}
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}" CARGO_NET_RETRY=10
  export GOBIN="$cache/bin" GOMODCACHE="$cache/go/mod" GOCACHE="$cache/go/build"
  export PIP_CACHE_DIR="$cache/pip" PIP_DISABLE_PIP_VERSION_CHECK=1 npm_config_cache="$cache/npm"
  export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
  if ! cargo --version >/dev/null 2>&1; then find_rustup; fi
  need cargo
}

# rustup searches for toolchains under HOME. They can be beside the cargo in PATH instead.
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
    echo "tests/run: $1 is missing or does not start: install it first" >&2
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

# Installs a package from the backports of this Debian release, for packages that the release does not have.
# Only this command uses the backports.
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

# go_tool NAME MODULE VERSION: builds a command from source, once per version.
go_tool() {
  local kept="$cache/bin/$1-$3"
  [[ -x $kept ]] && return 0
  need go
  echo "building $2@$3"
  GOFLAGS="-modcacherw -buildvcs=false" go install "$2@$3" 2>&1 | grep -v '^go: downloading' >&2
  mv "$cache/bin/$1" "$kept"
}

# go_module MODULE@VERSION: downloads a module and prints its directory.
go_module() {
  GOFLAGS=-modcacherw go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

# cargo_tool NAME VERSION: builds a command from source, once per version. Unoptimized: that takes a fraction
# of the time, and the tools run for seconds.
cargo_tool() {
  local stored="$cache/cargo/$1-$2"
  [[ -e $stored ]] && return 0
  echo "building $1 $2"
  cargo install --quiet --debug --locked "$1" --version "$2" --root "$cache/cargo" --force && touch "$stored"
}

# maven_tool NAME GROUP VERSION: copies a program that a Maven repository has, once per version.
maven_tool() {
  local stored="$cache/bin/$1-$3" arch
  [[ -x $stored ]] && return 0
  command -v mvn >/dev/null || debian_package maven || return
  arch=$(uname -m)
  echo "copying $2:$1:$3"
  mvn --quiet --batch-mode dependency:copy "-Dartifact=$2:$1:$3:exe:linux-${arch/aarch64/aarch_64}" \
    "-DoutputDirectory=$cache/maven" && mv "$cache/maven/$1-$3-"*.exe "$stored" && chmod +x "$stored"
}

# Installs the plugins of proto/buf.gen.yaml and sets $plugins to the folders that contain them.
proto_plugins() {
  local folder="$cache/plugins" tool
  go_tool protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go "$protoc_gen_go_version" &&
    go_tool protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc "$protoc_gen_go_grpc_version" &&
    maven_tool protoc com.google.protobuf "$protoc_version" &&
    maven_tool protoc-gen-grpc-java io.grpc "$grpc_java_version" &&
    python_env proto tests/proto/requirements.txt && node_env tests/proto || return
  command -v grpc_python_plugin >/dev/null || debian_package protobuf-compiler-grpc || return
  mkdir -p "$folder"
  for tool in "protoc-gen-go-$protoc_gen_go_version" "protoc-gen-go-grpc-$protoc_gen_go_grpc_version" \
    "protoc-$protoc_version" "protoc-gen-grpc-java-$grpc_java_version"; do
    ln -sf "$cache/bin/$tool" "$folder/${tool%-*}"
  done
  plugins="$folder:$venv/bin:$PWD/tests/proto/node_modules/.bin"
}

# generate_clients DIR: generates clients in every language of proto/buf.gen.yaml.
generate_clients() {
  go_tool buf github.com/bufbuild/buf/cmd/buf "$buf_version" && proto_plugins || return
  (cd proto && PATH=$plugins:$PATH "$cache/bin/buf-$buf_version" generate --output "$1")
}

# python_env NAME REQUIREMENTS: creates a virtual environment, and creates it again if the requirements
# change. Sets $venv to its directory.
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

# node_env DIRECTORY: installs the packages of its lock file.
node_env() {
  cmp -s "$1/package-lock.json" "$1/node_modules/installed" && return 0
  echo "installing $1/package-lock.json"
  command -v npm >/dev/null || debian_package npm || return
  npm ci --prefix "$1" --ignore-scripts --no-progress &&
    cp "$1/package-lock.json" "$1/node_modules/installed"
}
