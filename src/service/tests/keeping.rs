//! What a call keeps to while something else comes into force.

use super::*;
use crate::{
    domain::ask::{AskCheck, AskUsage},
    testing::ACCOUNT,
};

/// Every use case once, each by its name.
async fn each(broker: &KeyBroker) -> Vec<(&'static str, Option<Reason>)> {
    let who = principal("acme", ALL);
    let call = |action| call(action, PATIENCE);
    let at = UnresolvedPlace::default;
    let listed = AskList {
        place: at(),
        page_size: 10,
        unverified_page_token: Box::default(),
        prefix: Box::default(),
        filter: KeyFilter::Any,
    };
    let used = AskUsage {
        key: KEY.parse().unwrap(),
        place: at(),
        page_size: 10,
        unverified_page_token: Box::default(),
    };
    let checked = AskCheck { resource: on("/app/web"), key: KEY.parse().unwrap() };
    let taken = AskDisassociate {
        resource: on("/app/web"),
        reason: None,
        expected: None,
        validate_only: false,
        request_id: None,
    };
    let account = ACCOUNT.parse().unwrap();
    let why = |error: &Error| error.reason();
    let (set, take) = (call(Action::AssociateKmsKey), call(Action::DisassociateKmsKey));
    vec![
        ("associate", broker.associate(&set, &who, ask("/app/web")).await.as_ref().err().map(why)),
        (
            "get",
            broker.get(&call(Action::GetKeyAssociation), &who, on("/app/web")).await.as_ref().err().map(why),
        ),
        ("list", broker.list(&call(Action::ListKeyAssociations), &who, listed).await.as_ref().err().map(why)),
        (
            "check",
            broker.check(&call(Action::CheckKeyAssociation), &who, checked).await.as_ref().err().map(why),
        ),
        ("usage", broker.usage(&call(Action::GetKeyUsage), &who, used).await.as_ref().err().map(why)),
        ("disassociate", broker.disassociate(&take, &who, taken).await.as_ref().err().map(why)),
        ("caller", broker.caller(&call(Action::GetCaller), &who).as_ref().err().map(why)),
        (
            "onboarding",
            broker.onboarding(&call(Action::GetOnboarding), &who, account).await.as_ref().err().map(why),
        ),
        ("access", broker.test_access(&call(Action::TestAccess), &who, at()).await.as_ref().err().map(why)),
    ]
}

/// A tenant of the same name to whom nothing is granted.
fn bare() -> Tenant {
    Tenant { accounts: Vec::new(), ..tenant("acme") }
}

#[tokio::test(start_paused = true)]
async fn a_call_keeps_to_what_was_in_force_when_it_began() {
    let world = world();
    let begun = world.broker.under(&world.rules.in_force());
    let after = FakeTenants(vec![Arc::new(bare())]);
    world.rules.replace(Arc::new(after), Arc::new(FakePolicy { forbids: true }));
    let before = world.rules.asked();
    for (name, failure) in each(&begun).await {
        assert_eq!(failure, None, "{name}");
    }
    assert_eq!(world.rules.asked(), before, "nothing looks at what came after");
    for (name, failure) in each(&world.broker).await {
        assert!(failure.is_some(), "{name} goes by what is in force now");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_was_suspended_or_taken_away_meanwhile_is_refused_all_the_same() {
    let suspended = Tenant { suspended: true, ..tenant("acme") };
    for (after, expected) in
        [(vec![Arc::new(suspended)], Reason::TenantSuspended), (Vec::new(), Error::TenantGone.reason())]
    {
        let world = world();
        let begun = world.broker.under(&world.rules.in_force());
        world.rules.replace(Arc::new(FakeTenants(after)), Arc::new(FakePolicy::default()));
        for (name, failure) in each(&begun).await {
            assert_eq!(failure, Some(expected), "{name}");
        }
        assert_eq!(world.aws.seen(), []);
    }
}
