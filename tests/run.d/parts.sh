# shellcheck shell=bash
# One function per part, and one line that describes it. The exit code of a part says whether it passed.

declare -A about=(
  [fmt]="the Rust sources are formatted"
  [shell]="shellcheck on the shell scripts"
  [rolling]="three replicas behind HAProxy are restarted one after the other under load; no call is lost (1 minute)"
  [proto]="proto/: buf lint, buf format, no change that breaks clients of its first version, clients in four languages"
  [alerts]="promtool: the alerts are valid, and each one fires and resolves when it should"
  [alerting]="a real Prometheus and real faults: disk full, disk hangs, refused reload, defect, expired certificate (2 minutes)"
  [traces]="traces in a real OpenTelemetry Collector, by gRPC and HTTP, and without an answer of it (20 s)"
  [clippy]="clippy on all targets and on the release features, warnings denied"
  [deny]="cargo-deny: licenses, sources and bans of the dependencies; advisories where their database is reachable"
  [doc]="the API documentation builds, warnings denied"
  [test]="unit and integration tests"
  [valkey]="the tests of shared limits, with Valkey instead of Redis"
  [kill]="kill -9, power cuts and disk failures under load; compares the audit log with the calls to AWS"
  [grpcurl]="grpcurl against the service, using only reflection"
  [python]="Python's grpcio against the service, using only reflection"
  [node]="Node's @grpc/grpc-js and fetch against the service"
  [connect]="Connect's conformance suite against the layers of grpc-edge; 30 s when it is built"
  [browser]="gRPC-Web and Connect from pages of other origins in Chromium; 15 s"
  [examples]="the programs in examples/, built and run by the commands of docs/clients.md (1 to 3 minutes)"
  [report]="logkey report: its HTML in Chromium, OCSF by the schema, ASFF by AWS's client (about a minute)"
  [idp]="two real identity providers in front of the service, and logkey login with them"
  [aws]="the AWS CLI, boto3 and moto against the embedded AWS, a bulk job checked by boto3, and the service in front of moto"
  [onboarding]="the documents of logkey onboarding, checked by parliament, cfn-lint and an HCL parser"
  [site]="the documentation site: mdBook builds it, and its links and those of the other documents lead somewhere"
  [helm]="the Helm chart: lint, unit tests, schemas of Kubernetes and its operators, and the settings; 20 s"
  [packages]="the deb, the rpm, the systemd unit and the Dockerfile, checked by lintian, rpm, systemd-analyze and hadolint; 1 min"
  [cost]="the instructions of a call against benches/instructions.txt; 3 minutes, and 20 for the first build; not in all"
  [demo]="logkey demo from start to end, in 80 columns"
  [readme]="the commands of README.md, docs/grpcurl.md, docs/bulk.md and docs/rules.md, unchanged"
  [audit]="the audit log, checked by the OCSF schema, Go's sumdb and tessera's fsck"
)

part_fmt() { cargo fmt --all --check; }

part_shell() {
  command -v shellcheck >/dev/null || debian_package shellcheck || return
  local scripts
  mapfile -t scripts < <(git grep -lE '^#!.*\b(ba)?sh$' -- . ':!*.md')
  shellcheck --check-sourced --external-sources "${scripts[@]}"
}

part_proto() {
  go_tool buf github.com/bufbuild/buf/cmd/buf "$buf_version" || return
  local buf="$cache/bin/buf-$buf_version"
  "$buf" lint proto && "$buf" format --diff --exit-code proto &&
    "$buf" breaking proto --against tests/proto/d553433.binpb && part_proto_generate
}

# Generates the clients and looks for each service in each language. 2 seconds, once the plugins are installed.
part_proto_generate() {
  local out name file missing=0
  out=$(mktemp -d)
  generate_clients "$out" || return
  for file in proto/keyassociation/v1/*_service.proto; do
    file=$(basename "$file" .proto)
    name=$(sed -n 's/^service \(.*\) {$/\1/p' "proto/keyassociation/v1/$file.proto")
    if ! { grep -q "^type ${name}Client interface" "$out/gen/go/keyassociation/v1/${file}_grpc.pb.go" &&
      grep -q "^class ${name}Stub" "$out/gen/python/keyassociation/v1/${file}_pb2_grpc.py" &&
      grep -q "^export const ${name}: GenService" "$out/gen/typescript/keyassociation/v1/${file}_pb.ts" &&
      grep -q "^public final class ${name}Grpc" "$out/gen/java/logkey/keyassociation/v1/${name}Grpc.java"; }; then
      echo "$name is not generated in every language"
      missing=1
    fi
  done
  rm -r "$out"
  return "$missing"
}

part_alerts() {
  command -v promtool >/dev/null || debian_package prometheus || return
  promtool check rules deploy/prometheus/alerts.yaml && promtool test rules tests/alerts/*.yaml
}

# Needs root: it mounts a small file system.
part_alerting() {
  command -v prometheus >/dev/null || debian_package prometheus || return
  command -v cc >/dev/null || debian_package gcc || return
  python_env clients tests/clients/requirements.txt && built || return
  as_root env LOGKEY_BINARY="$LOGKEY_BINARY" PYTHONDONTWRITEBYTECODE=1 \
    "$venv/bin/python" tests/clients/alerting/run.py
}

# The collector is built from its modules once: two minutes.
part_traces() {
  need go
  export COLLECTOR="$cache/bin/collector"
  GOFLAGS="-modcacherw -buildvcs=false" go build -C tests/clients/traces/collector -o "$COLLECTOR" . || return
  python_env clients tests/clients/requirements.txt && built || return
  "$venv/bin/python" -m pytest -p no:cacheprovider --color=no tests/clients/traces
}

part_clippy() {
  cargo clippy --locked --workspace --all-targets --all-features -- --deny warnings &&
    cargo clippy --locked --package logkey --no-default-features -- --deny warnings
}

part_deny() {
  cargo_tool cargo-deny "$cargo_deny_version" || return
  local deny="$cache/cargo/bin/cargo-deny"
  "$deny" --all-features --locked check --hide-inclusion-graph bans licenses sources || return
  # The advisory database is a git repository, which some networks do not reach.
  if timeout 60 "$deny" --all-features --locked fetch db 2>/dev/null; then
    "$deny" --all-features --locked check --hide-inclusion-graph advisories
  else
    echo "the advisory database is not reachable: advisories are not checked"
  fi
}

part_doc() { RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps; }

part_test() {
  command -v redis-server >/dev/null || debian_package redis-server || return
  postgresql || return
  cargo test --locked --workspace --all-features --no-fail-fast
}

part_valkey() {
  command -v redis-cli >/dev/null || debian_package redis-tools || return
  command -v valkey-server >/dev/null || debian_package valkey-server || debian_backport valkey-server || return
  LOGKEY_REDIS_SERVER=valkey-server \
    cargo test --locked --package logkey --all-features --no-fail-fast --lib --test it -- \
    limit::redis:: limits::replicas:: limits::paused::
}

# Installs the PostgreSQL programs. The tests start their own servers.
postgresql() {
  compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || command -v initdb >/dev/null ||
    debian_package postgresql
}

# A few rounds only; tests/kill/main.rs explains how to run many. This does not install LazyFS.
part_kill() {
  postgresql || return
  cargo test --locked --all-features --test kill -- --ignored --skip lazyfs --test-threads 2
}

part_rolling() {
  command -v haproxy >/dev/null || debian_package haproxy || return
  postgresql || return
  cargo test --locked --all-features --test it -- --ignored readiness::rolling
}

part_grpcurl() {
  go_tool grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl "$grpcurl_version" || return
  with_service env GRPCURL="$cache/bin/grpcurl-$grpcurl_version" tests/clients/grpcurl.sh
}

part_python() {
  python_env clients tests/clients/requirements.txt && built || return
  "$venv/bin/python" -m pytest -p no:cacheprovider --color=no tests/clients/python
}

part_node() {
  node_env tests/clients/node || return
  with_service node --test --test-reporter=spec tests/clients/node/{portal,web}.test.js
}

# The suite starts the server for each group of its cases, and kills it.
part_connect() {
  go_tool connectconformance connectrpc.com/conformance/cmd/connectconformance "$connectconformance_version" &&
    cargo build --locked --package connect-conformance --quiet || return
  "$cache/bin/connectconformance-$connectconformance_version" --mode server --parallel 2 \
    --conf tests/clients/connect/suite.yaml -- "$CARGO_TARGET_DIR/debug/connect-conformance"
}

part_browser() {
  command -v node >/dev/null || debian_package nodejs || return
  CHROMIUM=$(command -v chromium) || { debian_package chromium && CHROMIUM=$(command -v chromium); } || return
  local ports
  ports=$(python3 -c 'import socket
pages = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(page.getsockname()[1] for page in pages))') || return
  CHROMIUM=$CHROMIUM PAGE_PORTS=$ports \
    LOGKEY__SERVER__CORS__ALLOWED_ORIGINS="[\"http://127.0.0.1:${ports% *}\"]" \
    with_service node --test --test-reporter=spec tests/clients/node/browser.test.js
}

part_examples() {
  need go
  command -v npm >/dev/null || debian_package npm || return
  command -v chromium >/dev/null || debian_package chromium || return
  command -v mvn >/dev/null || debian_package maven || return
  command -v javac >/dev/null || debian_package default-jdk-headless || return
  go_tool buf github.com/bufbuild/buf/cmd/buf "$buf_version" || return
  python_env examples examples/python/requirements.txt || return
  local tools="$cache/examples:$venv/bin"
  mkdir -p "$cache/examples" && ln -sf "$cache/bin/buf-$buf_version" "$cache/examples/buf" || return
  # Its requirements include those of the clients, and a driver for Chromium.
  python_env report tests/clients/report/requirements.txt && built || return
  PATH="$tools:$PATH" "$venv/bin/python" -m pytest -p no:cacheprovider --color=no tests/clients/examples
}

# LOGKEY_SCREENSHOTS=FOLDER keeps the screenshots.
part_report() {
  command -v chromium >/dev/null || debian_package chromium || return
  node_env tests/clients/report || return
  cmp tests/clients/report/node_modules/chart.js/dist/chart.umd.min.js crates/client/src/compliance/html/chart.umd.min.js &&
    cmp tests/clients/report/node_modules/chart.js/LICENSE.md crates/client/src/compliance/html/chart.LICENSE.md || return
  python_env report tests/clients/report/requirements.txt && built || return
  "$venv/bin/python" -m pytest -p no:cacheprovider --color=no tests/clients/report
}

part_idp() {
  node_env tests/clients/idp && dex && built && tests/clients/idp/run.sh
}

# Builds Dex from its packages: see tests/clients/idp/dex/main.go. Exports the paths of the program and of
# its web directory.
dex() {
  need go
  export DEX="$cache/bin/dex"
  local flags="-modcacherw -buildvcs=false"
  GOFLAGS=$flags go build -C tests/clients/idp/dex -o "$DEX" . &&
    DEX_WEB=$(GOFLAGS=$flags go list -C tests/clients/idp/dex -m -f '{{.Dir}}' github.com/dexidp/dex)/web &&
    export DEX_WEB
}

part_aws() {
  python_env awscli tests/clients/aws/cli.txt && built && tests/clients/aws/page.sh "$venv/bin" || return
  python_env aws tests/clients/aws/requirements.txt || return
  "$venv/bin/python" -m pytest -p no:cacheprovider --color=no tests/clients/aws &&
    "$venv/bin/python" tests/clients/aws/with_moto.py \
      cargo test --locked --all-features --test it -- --ignored event_queue::moto archiving::moto
}

part_onboarding() {
  python_env onboarding tests/clients/onboarding/requirements.txt && built || return
  "$venv/bin/python" -m pytest -p no:cacheprovider --color=no tests/clients/onboarding
}

part_helm() {
  command -v openssl >/dev/null || debian_package openssl || return
  python_env helm tests/helm/requirements.txt && go_tool helm helm.sh/helm/v3/cmd/helm "$helm_version" &&
    built || return
  # Its go.mod replaces a module, so `go install` refuses it.
  local unittest="$cache/bin/helm-unittest" monitoring gateway
  GOFLAGS="-modcacherw -buildvcs=false" go build -C tests/helm/unittest -o "$unittest" \
    github.com/helm-unittest/helm-unittest/cmd/helm-unittest || return
  "$unittest" deploy/helm/logkey || return
  monitoring=$(go_module "$prometheus_operator") && gateway=$(go_module "$gateway_api") || return
  HELM="$cache/bin/helm-$helm_version" \
    CUSTOM_RESOURCES="$monitoring/example/prometheus-operator-crd:$gateway/config/crd/standard" \
    "$venv/bin/python" -m pytest -p no:cacheprovider --color=no tests/helm
}

part_packages() {
  local tool
  for tool in lintian rpm systemd-analyze:systemd; do
    command -v "${tool%:*}" >/dev/null || debian_package "${tool#*:}" || return
  done
  python_env packages tests/packages/requirements.txt || return
  cargo_tool cargo-deb "$cargo_deb_version" && cargo_tool cargo-generate-rpm "$cargo_generate_rpm_version" || return
  built && HADOLINT="$venv/bin/hadolint" PATH="$cache/cargo/bin:$PATH" tests/packages/run.sh
}

part_audit() {
  need go
  python_env audit tests/clients/audit/requirements.txt || return
  go_tool fsck github.com/transparency-dev/tessera/cmd/fsck "$tessera_version" || return
  go_tool grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl "$grpcurl_version" || return
  local python=$venv/bin/python
  tests/clients/audit/run.sh "$python" "$cache/bin/fsck-$tessera_version" &&
    with_service env GRPCURL="$cache/bin/grpcurl-$grpcurl_version" tests/clients/audit/served.sh "$python"
}

# 2 seconds, once the programs are installed. The site links to files beside the documents, so they lie beside it.
part_site() {
  python_env site tests/site/requirements.txt || return
  local site code
  site=$(mktemp -d)
  local links=("$venv/bin/lychee" --offline --include-fragments --no-progress)
  "$venv/bin/mdbook" build --dest-dir "$site/docs" && cp -r deploy examples proto "$site" &&
    cp --parents tests/clients/audit/tlog/main.go "$site" && "${links[@]}" "$site/docs" &&
    "${links[@]}" README.md CONTRIBUTING.md CHANGELOG.md "docs/**/*.md" "deploy/**/*.md"
  code=$?
  rm -r "$site"
  return "$code"
}

part_cost() {
  command -v valgrind >/dev/null || debian_package valgrind || return
  cargo bench --locked --profile cost --bench ratios -- --instructions --check benches/instructions.txt
}

part_demo() {
  built && "$LOGKEY_BINARY" demo | tee "$cache/log/demo.out" || return
  if LC_ALL=C.UTF-8 grep -E '^.{81}' "$cache/log/demo.out"; then
    echo "these lines of the demo are longer than 80 columns"
    return 1
  fi
}

part_readme() {
  go_tool grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl "$grpcurl_version" && built || return
  GRPCURL="$cache/bin/grpcurl-$grpcurl_version" tests/readme.sh
}

# with_service PROGRAM...: starts the service and runs the program. The environment tells the program
# where the service is.
with_service() {
  python_env clients tests/clients/requirements.txt && built || return
  "$venv/bin/python" tests/clients/service.py "$@"
}

# Builds the binary for the client tests and exports its path.
built() {
  cargo build --locked --package logkey --quiet && export LOGKEY_BINARY="$CARGO_TARGET_DIR/debug/logkey"
}
