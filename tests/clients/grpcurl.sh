#!/usr/bin/env bash
# Tests the service with grpcurl, using only reflection. service.py starts the service, sets LOGKEY_* and
# runs this script. GRPCURL is the path of grpcurl.
set -uo pipefail

package=keyassociation.v1
keys=$package.KeyAssociationService
tenants=$package.TenantService
audit=$package.AuditService
bulk=$package.BulkAssociationService
account=111122223333
key=arn:aws:kms:us-east-1:$account:key/11111111-1111-4111-8111-111111111111
group="arn:aws:logs:us-east-1:$account:log-group:/payments/grpcurl"
passed=0
failed=0

# as TOKEN METHOD [REQUEST]: makes a call with a token. Errors are printed as JSON with their details.
as() {
  local token=$1 method=$2 request=${3-}
  "$GRPCURL" -plaintext -max-time 30 -format-error -H "authorization: Bearer $token" \
    -d "${request:-{\}}" "$LOGKEY_ADDRESS" "$method" 2>&1
}

bare() { "$GRPCURL" -plaintext -max-time 30 "$@" 2>&1; }

# shows CLAIM TEXT... -- COMMAND...: the output of the command contains every text.
shows() {
  local claim=$1 expected=() output text missing=()
  shift
  while [[ $1 != -- ]]; do
    expected+=("$1")
    shift
  done
  shift
  output=$("$@")
  for text in "${expected[@]}"; do
    [[ $output == *"$text"* ]] || missing+=("$text")
  done
  if ((${#missing[@]} == 0)); then
    passed=$((passed + 1))
    echo "ok - $claim"
  else
    failed=$((failed + 1))
    printf 'not ok - %s\n  missing: %s\n%s\n' "$claim" "${missing[*]}" "$output" | head -40
  fi
}

shows "list shows the services" "$audit" "$bulk" "$keys" "$tenants" grpc.health.v1.Health -- bare "$LOGKEY_ADDRESS" list
shows "reflection v1 lists the services" "$keys" -- \
  bare -d '{"list_services":"*"}' "$LOGKEY_ADDRESS" grpc.reflection.v1.ServerReflection/ServerReflectionInfo
for rpc in AssociateKmsKey DisassociateKmsKey GetKeyAssociation ListKeyAssociations CheckKeyAssociation GetKeyUsage; do
  shows "list shows $rpc" "$keys.$rpc" -- bare "$LOGKEY_ADDRESS" list "$keys"
  shows "describe shows $rpc with its comment" "rpc $rpc (" "Needs the scope" -- bare "$LOGKEY_ADDRESS" describe "$keys.$rpc"
done
shows "describe shows the fields with their comments" "kms_key_id = 5" "optional string expected_kms_key_id = 9" "at most 512 characters" -- \
  bare "$LOGKEY_ADDRESS" describe "$package.AssociateKmsKeyRequest"

for service in "" "$audit" "$bulk" "$keys" "$tenants"; do
  shows "the health of '$service' needs no token" SERVING -- \
    bare -d "{\"service\":\"$service\"}" "$LOGKEY_ADDRESS" grpc.health.v1.Health/Check
done
shows "a health check with a token succeeds" SERVING -- as "$LOGKEY_TOKEN_READER" grpc.health.v1.Health/Check

shows "GetCaller returns the tenant, scopes and grants" '"tenantId": "payments"' '"logkey:associate"' '"/payments/*"' -- as "$LOGKEY_TOKEN_PAYMENTS" "$tenants/GetCaller"
shows "a token of logkey token is accepted" '"tenantId": "payments"' -- as "$LOGKEY_TOKEN_COMMAND" "$tenants/GetCaller"
shows "AssociateKmsKey sets a key" "\"kmsKeyArn\": \"$key\"" STATE_SETTLING auditEventId awsRequestId -- \
  as "$LOGKEY_TOKEN_PAYMENTS" "$keys/AssociateKmsKey" "{\"resource_identifier\":\"$group\",\"kms_key_id\":\"$key\",\"reason\":\"TICKET-2\"}"
shows "GetKeyAssociation reads the key from AWS" "\"kmsKeyArn\": \"$key\"" SOURCE_LIVE -- \
  as "$LOGKEY_TOKEN_READER" "$keys/GetKeyAssociation" "{\"resource_identifier\":\"$group\"}"
shows "ListKeyAssociations finds the log group" '"logGroupName": "/payments/grpcurl"' -- \
  as "$LOGKEY_TOKEN_READER" "$keys/ListKeyAssociations" '{"log_group_name_prefix":"/payments/","key_filter":"KEY_FILTER_WITH_KEY"}'
shows "DisassociateKmsKey removes the key" "\"previousKmsKeyArn\": \"$key\"" -- \
  as "$LOGKEY_TOKEN_PAYMENTS" "$keys/DisassociateKmsKey" "{\"resource_identifier\":\"$group\"}"
shows "AssociateKmsKey sets the key of query results" '"queryResults": true' -- as "$LOGKEY_TOKEN_PAYMENTS" "$keys/AssociateKmsKey" \
  "{\"resource_identifier\":\"arn:aws:logs:us-east-1:$account:query-result:*\",\"kms_key_id\":\"$key\"}"
shows "CheckKeyAssociation reports its checks" '"verdict"' '"name": "KEY_STATE"' OUTCOME_PASSED -- \
  as "$LOGKEY_TOKEN_READER" "$keys/CheckKeyAssociation" "{\"resource_identifier\":\"$group\",\"kms_key_id\":\"$key\"}"
shows "GetKeyUsage reports a key in use" DELETION_VERDICT_IN_USE '"coverage"' '"knownAsOf"' -- \
  as "$LOGKEY_TOKEN_READER" "$keys/GetKeyUsage" "{\"kms_key_id\":\"$key\"}"
shows "the usage of another tenant's key is not found" '"code": 5' KEY_NOT_FOUND -- \
  as "$LOGKEY_TOKEN_READER" "$keys/GetKeyUsage" '{"kms_key_id":"arn:aws:kms:us-east-1:444455556666:key/x"}'

for rpc in ListAuditEvents WatchAuditEvents GetCheckpoint GetInclusionProof GetConsistencyProof; do
  shows "describe shows $rpc with its comment" "rpc $rpc (" "Needs the scope" -- bare "$LOGKEY_ADDRESS" describe "$audit.$rpc"
done

# grpcurl fetches the proofs and Go's sumdb checks them, from an older checkpoint on.
proofs=$(mktemp -d)
trap 'rm -rf "$proofs"' EXIT
as "$LOGKEY_TOKEN_AUDITOR" "$audit/GetCheckpoint" >"$proofs/older.json"
changed=$(as "$LOGKEY_TOKEN_PAYMENTS" "$keys/AssociateKmsKey" "{\"resource_identifier\":\"$group\",\"kms_key_id\":\"$key\"}" |
  sed -n 's/.*"auditEventId": "\([^"]*\)".*/\1/p')
as "$LOGKEY_TOKEN_AUDITOR" "$audit/GetInclusionProof" "{\"event_id\":\"$changed\"}" >"$proofs/inclusion.json"
as "$LOGKEY_TOKEN_AUDITOR" "$audit/ListAuditEvents" '{"filter":{"action":"AssociateKmsKey","outcome":"OK"},"page_size":1}' >"$proofs/event.json"
number() { sed -n "s/.*\"$1\": \"\([0-9]*\)\".*/\1/p" "$2"; }
as "$LOGKEY_TOKEN_AUDITOR" "$audit/GetConsistencyProof" \
  "{\"old_tree_size\":$(number treeSize "$proofs/older.json"),\"new_tree_size\":$(number treeSize "$proofs/inclusion.json")}" >"$proofs/consistency.json"
tlog() { (cd "$(dirname "${BASH_SOURCE[0]}")/audit/tlog" && GOFLAGS=-modcacherw go run . -grpc "$1" 2>&1); }
shows "ListAuditEvents shows the change" "$changed" '"kind": "outcome"' -- cat "$proofs/event.json"
shows "sumdb verifies both proofs" "leads to the signed root" -- tlog "$proofs"
sed -i 's/TICKET\|outcome/0utcome/g' "$proofs/event.json"
shows "sumdb detects a changed event" "not in the log" -- tlog "$proofs"
shows "ListAuditEvents needs the audit scope" SCOPE_MISSING -- as "$LOGKEY_TOKEN_READER" "$audit/ListAuditEvents"
shows "an unknown event is not found" '"code": 5' AUDIT_EVENT_NOT_FOUND -- \
  as "$LOGKEY_TOKEN_AUDITOR" "$audit/GetInclusionProof" '{"event_id":"019a0000-0000-7000-8000-000000000000"}'

# A bulk job, from its plan to its revert. The key of one Region is disabled after the plan.
fleet() { as "$LOGKEY_TOKEN_FLEET" "$bulk/$1" "$2"; }
field() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" | head -1; }
job() { fleet GetBulkAssociation "{\"id\":\"$1\"}"; }
fleet_key() {
  printf '[[accounts]]\naccount_id = "222233334444"\nkeys = [{ id = "99999999-9999-4999-8999-999999999999", %s' \
    "region = \"us-east-1\", aliases = [\"alias/logs\"], state = \"$1\" }]" |
    curl --silent --fail --data-binary @- "$LOGKEY_SANDBOX/_sandbox/seed"
}
planned() {
  local read
  for _ in $(seq 200); do
    read=$(job "$1")
    [[ $read == *BULK_STATE_PLANNING* ]] || break
    sleep 0.05
  done
  printf '%s\n' "$read"
}
last() { fleet WatchBulkAssociation "{\"id\":\"$1\"}" | tac | sed '/^{/q' | tac; }
for rpc in Create Start Pause Resume Cancel Retry Revert Get Watch; do
  shows "describe shows ${rpc}BulkAssociation" "rpc ${rpc}BulkAssociation (" -- \
    bare "$LOGKEY_ADDRESS" describe "$bulk.${rpc}BulkAssociation"
done
shows "describe shows the fields of a selection" "log_group_patterns = 3" "resource_arns = 8" "At most 5,000" -- \
  bare "$LOGKEY_ADDRESS" describe "$package.Selection"
created=$(fleet CreateBulkAssociation '{"selection":{"log_group_patterns":["/fleet/app-*"]},"key":{"kms_key_id":"alias/logs"},"reason":"TICKET-3"}')
id=$(field id <<<"$created")
shows "a plan counts the items and their end" BULK_STATE_PLANNED '"total": 7' '"waiting": 7' expectedEndTime callsPerSecond -- planned "$id"
shows "an old etag is refused" '"code": 10' ETAG_MISMATCH -- fleet StartBulkAssociation "{\"id\":\"$id\",\"etag\":\"0\"}"
shows "a planned job cannot be retried" '"code": 9' JOB_STATE '"state": "PLANNED"' -- fleet RetryBulkAssociation "{\"id\":\"$id\"}"
fleet_key Disabled >/dev/null
shows "a job starts" BULK_STATE_RUNNING -- fleet StartBulkAssociation "{\"id\":\"$id\",\"etag\":\"$(job "$id" | field etag)\"}"
shows "a watch ends with the job" BULK_STATE_COMPLETED_WITH_FAILURES '"succeeded": 3' '"failed": 4' -- last "$id"
shows "a failed item has its reason and what to do" KEY_DISABLED '"message": "' auditEventId -- \
  fleet ListBulkAssociationItems "{\"id\":\"$id\",\"states\":[\"BULK_ITEM_STATE_FAILED\"],\"page_size\":1}"
fleet_key Enabled >/dev/null
shows "failed items are retried" BULK_STATE_RUNNING -- fleet RetryBulkAssociation "{\"id\":\"$id\"}"
shows "the retried job succeeds" BULK_STATE_SUCCEEDED '"succeeded": 7' -- last "$id"
revert=$(fleet RevertBulkAssociation "{\"id\":\"$id\"}")
shows "a revert is a new job" "\"revertOf\": \"$id\"" -- printf '%s\n' "$revert"
shows "the reverted job succeeds" BULK_STATE_SUCCEEDED '"succeeded": 7' -- last "$(field id <<<"$revert")"
shows "the log groups have no key, as before the job" /fleet/app-0 /fleet/app-1 /fleet/app-2 SOURCE_LIVE -- \
  as "$LOGKEY_TOKEN_FLEET" "$keys/ListKeyAssociations" '{"region":"eu-west-1","key_filter":"KEY_FILTER_WITHOUT_KEY"}'
shows "the jobs of the tenant are listed" "$id" -- fleet ListBulkAssociations '{"states":["BULK_STATE_SUCCEEDED"]}'
shows "bulk jobs need their scope" '"code": 7' SCOPE_MISSING logkey:bulk -- \
  as "$LOGKEY_TOKEN_PAYMENTS" "$bulk/ListBulkAssociations"
shows "an unknown job is not found" '"code": 5' BULK_ASSOCIATION_NOT_FOUND -- job 019a0000-0000-7000-8000-000000000000

shows "a call without a token is refused" '"code": 16' TOKEN_MISSING google.rpc.RequestInfo -- \
  bare -format-error "$LOGKEY_ADDRESS" "$tenants/GetCaller"
shows "an expired token is refused" '"code": 16' TOKEN_EXPIRED -- as "$LOGKEY_TOKEN_EXPIRED" "$tenants/GetCaller"
shows "the error names the missing scope" '"code": 7' SCOPE_MISSING logkey:associate -- \
  as "$LOGKEY_TOKEN_READER" "$keys/AssociateKmsKey" "{\"resource_identifier\":\"$group\",\"kms_key_id\":\"$key\"}"
shows "the error names every invalid field" '"code": 3' FIELD_INVALID google.rpc.BadRequest account_id region log_group_name kms_key_id request_id -- \
  as "$LOGKEY_TOKEN_PAYMENTS" "$keys/AssociateKmsKey" \
  '{"account_id":"12","region":"nowhere","log_group_name":"not a name","kms_key_id":"key id","request_id":"none"}'
shows "an account of another tenant is not found" '"code": 5' ACCOUNT_NOT_FOUND -- as "$LOGKEY_TOKEN_PAYMENTS" "$keys/GetKeyAssociation" \
  '{"resource_identifier":"arn:aws:logs:us-east-1:444455556666:log-group:/orders/api"}'

burst() { for _ in 1 2 3 4 5 6; do as "$LOGKEY_TOKEN_METERED" "$tenants/GetCaller"; done; }
shows "calls over the rate limit are refused" '"code": 8' TENANT_RATE_LIMITED google.rpc.RetryInfo -- burst

echo "$passed passed, $failed failed"
((failed == 0))
