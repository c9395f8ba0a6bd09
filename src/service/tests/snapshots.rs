//! Calls that are in flight during a reload.

use super::*;
use crate::{
    domain::request::{CheckRequest, UsageRequest},
    ports::{ConfigSnapshot, SnapshotSource as _},
    testing::ACCOUNT,
};

/// Runs every use case once with `snapshot`. Returns their names and failures.
async fn run_each(
    state: &Arc<ServiceState>,
    snapshot: Arc<dyn ConfigSnapshot>,
) -> Vec<(&'static str, Option<Reason>)> {
    let cx = |action| {
        let (call, caller) = (Arc::new(call(action, TIMEOUT)), Arc::new(principal("acme", ALL)));
        Context::new(Arc::clone(state), Arc::clone(&snapshot), call, caller)
    };
    let at = UnresolvedLocation::default;
    let listed = ListRequest {
        location: at(),
        page_size: 10,
        unverified_page_token: Box::default(),
        prefix: Box::default(),
        filter: KeyFilter::Any,
    };
    let used = UsageRequest {
        key: KEY.parse().unwrap(),
        location: at(),
        page_size: 10,
        unverified_page_token: Box::default(),
    };
    let checked = CheckRequest { resource: on("/app/web"), key: KEY.parse().unwrap() };
    let taken = DisassociateRequest {
        resource: on("/app/web"),
        reason: None,
        expected: None,
        validate_only: false,
        request_id: None,
    };
    let account = ACCOUNT.parse().unwrap();
    let set = associate(cx(Action::AssociateKmsKey), request("/app/web")).await;
    let found = get(cx(Action::GetKeyAssociation), on("/app/web")).await;
    let page = list(cx(Action::ListKeyAssociations), listed).await;
    let diagnosis = check(cx(Action::CheckKeyAssociation), checked).await;
    let used = usage(cx(Action::GetKeyUsage), used).await;
    let removed = disassociate(cx(Action::DisassociateKmsKey), taken).await;
    let caller = whoami(cx(Action::GetCaller));
    let documents = onboarding(cx(Action::GetOnboarding), account).await;
    let access = test_access(cx(Action::TestAccess), at()).await;
    vec![
        ("associate", failure(set)),
        ("get", failure(found)),
        ("list", failure(page)),
        ("check", failure(diagnosis)),
        ("usage", failure(used)),
        ("disassociate", failure(removed)),
        ("caller", failure(caller)),
        ("onboarding", failure(documents)),
        ("access", failure(access)),
    ]
}

fn failure<T>(result: Result<T, Error>) -> Option<Reason> {
    result.err().map(|error| error.reason())
}

/// A tenant with the same id but without grants.
fn without_grants() -> Tenant {
    Tenant { accounts: Vec::new(), ..tenant("acme") }
}

#[tokio::test(start_paused = true)]
async fn a_call_keeps_its_snapshot_during_a_reload() {
    let env = env();
    let started = env.rules.current();
    let after = FakeTenants(vec![Arc::new(without_grants())]);
    env.rules.replace(Arc::new(after), Arc::new(FakePolicy { forbids: true }));
    let before = env.rules.reads();
    for (name, failure) in run_each(&env.state, Arc::clone(&started)).await {
        assert_eq!(failure, None, "{name}");
    }
    assert_eq!(env.rules.reads(), before, "no use case reads the new snapshot");
    for (name, failure) in run_each(&env.state, env.rules.current()).await {
        assert!(failure.is_some(), "{name} uses the current snapshot");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_suspended_or_removed_since_the_snapshot_is_rejected() {
    let suspended = Tenant { suspended: true, ..tenant("acme") };
    for (after, expected) in [
        (vec![Arc::new(suspended)], Reason::TenantSuspended),
        (Vec::new(), Error::Access(AccessError::TenantRemoved).reason()),
    ] {
        let env = env();
        let started = env.rules.current();
        env.rules.replace(Arc::new(FakeTenants(after)), Arc::new(FakePolicy::default()));
        for (name, failure) in run_each(&env.state, Arc::clone(&started)).await {
            assert_eq!(failure, Some(expected), "{name}");
        }
        assert_eq!(env.aws.calls(), []);
    }
}
