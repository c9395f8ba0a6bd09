//! What a call keeps to while something else comes into force.

use super::*;
use crate::{
    domain::request::{CheckRequest, UsageRequest},
    testing::ACCOUNT,
};

/// Every use case once, each by its name.
async fn each(broker: &KeyBroker) -> Vec<(&'static str, Option<Reason>)> {
    let principal = principal("acme", ALL);
    let call = |action| call(action, TIMEOUT);
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
    let reason = |error: &Error| error.reason();
    let (set, take) = (call(Action::AssociateKmsKey), call(Action::DisassociateKmsKey));
    vec![
        (
            "associate",
            broker.associate(&set, &principal, request("/app/web")).await.as_ref().err().map(reason),
        ),
        (
            "get",
            broker
                .get(&call(Action::GetKeyAssociation), &principal, on("/app/web"))
                .await
                .as_ref()
                .err()
                .map(reason),
        ),
        (
            "list",
            broker
                .list(&call(Action::ListKeyAssociations), &principal, listed)
                .await
                .as_ref()
                .err()
                .map(reason),
        ),
        (
            "check",
            broker
                .check(&call(Action::CheckKeyAssociation), &principal, checked)
                .await
                .as_ref()
                .err()
                .map(reason),
        ),
        (
            "usage",
            broker.usage(&call(Action::GetKeyUsage), &principal, used).await.as_ref().err().map(reason),
        ),
        ("disassociate", broker.disassociate(&take, &principal, taken).await.as_ref().err().map(reason)),
        ("caller", broker.whoami(&call(Action::GetCaller), &principal).as_ref().err().map(reason)),
        (
            "onboarding",
            broker
                .onboarding(&call(Action::GetOnboarding), &principal, account)
                .await
                .as_ref()
                .err()
                .map(reason),
        ),
        (
            "access",
            broker.test_access(&call(Action::TestAccess), &principal, at()).await.as_ref().err().map(reason),
        ),
    ]
}

/// A tenant of the same name to whom nothing is granted.
fn bare() -> Tenant {
    Tenant { accounts: Vec::new(), ..tenant("acme") }
}

#[tokio::test(start_paused = true)]
async fn a_call_keeps_to_what_was_in_force_when_it_began() {
    let env = env();
    let started = env.broker.pinned_to(&env.rules.current());
    let after = FakeTenants(vec![Arc::new(bare())]);
    env.rules.replace(Arc::new(after), Arc::new(FakePolicy { forbids: true }));
    let before = env.rules.reads();
    for (name, failure) in each(&started).await {
        assert_eq!(failure, None, "{name}");
    }
    assert_eq!(env.rules.reads(), before, "nothing looks at what came after");
    for (name, failure) in each(&env.broker).await {
        assert!(failure.is_some(), "{name} goes by what is in force now");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_was_suspended_or_taken_away_meanwhile_is_refused_all_the_same() {
    let suspended = Tenant { suspended: true, ..tenant("acme") };
    for (after, expected) in
        [(vec![Arc::new(suspended)], Reason::TenantSuspended), (Vec::new(), Error::TenantRemoved.reason())]
    {
        let env = env();
        let started = env.broker.pinned_to(&env.rules.current());
        env.rules.replace(Arc::new(FakeTenants(after)), Arc::new(FakePolicy::default()));
        for (name, failure) in each(&started).await {
            assert_eq!(failure, Some(expected), "{name}");
        }
        assert_eq!(env.aws.calls(), []);
    }
}
