use http::HeaderValue;

use super::*;
use crate::{
    domain::reason::Reason,
    testing::{FakeAuthn, principal},
};

fn backend() -> Principal {
    Principal { subject: "portal".into(), ..principal("payments", &[]) }
}

fn acting(caller: &Principal, may_assert: bool, values: &[&[u8]]) -> Result<Option<Delegation>, Reason> {
    let values = values.iter().map(|value| (ON_BEHALF_OF, HeaderValue::from_bytes(value).unwrap()));
    let authn = FakeAuthn::accepting("token", caller.clone()).asserting(may_assert);
    let delegated = delegate(&values.collect(), &Arc::new(caller.clone()), &authn);
    delegated.map(|principal| principal.delegation.clone()).map_err(|refusal| refusal.reason())
}

fn for_user(user: &str, actor: &str) -> Delegation {
    Delegation { on_behalf_of: user.into(), actor: actor.into() }
}

#[test]
fn the_metadata_names_the_person_and_the_subject_is_the_actor() {
    for value in ["alice", " alice ", "CN=Alice, OU=Payments", &"x".repeat(256)] {
        let expected = for_user(value.trim(), "portal");
        assert_eq!(acting(&backend(), true, &[value.as_bytes()]), Ok(Some(expected)), "{value}");
    }
    assert_eq!(acting(&backend(), true, &[]), Ok(None));
    assert_eq!(acting(&backend(), false, &[]), Ok(None));
}

#[test]
fn an_issuer_that_may_not_assert_users_is_refused_whatever_the_value() {
    for values in [&[b"alice".as_slice()][..], &[b"portal"], &[b""], &[b"a", b"b"], &[b"\xff"]] {
        assert_eq!(acting(&backend(), false, values), Err(Reason::AssertedUserNotAllowed), "{values:?}");
    }
}

#[test]
fn a_value_that_names_nobody_is_refused() {
    let too_long = "x".repeat(257);
    for values in [
        &[b"".as_slice()][..],
        &[b"  "],
        &[too_long.as_bytes()],
        &["zoë".as_bytes()],
        &[b"\xff\xfe"],
        &[b"a\tb"],
        &[b"alice", b"alice"],
        &[b"alice", b"bob"],
    ] {
        assert_eq!(acting(&backend(), true, values), Err(Reason::FieldInvalid), "{values:?}");
    }
}

#[test]
fn the_person_of_the_token_cannot_be_replaced() {
    let delegation = for_user("alice", "portal");
    let token = Principal {
        subject: "alice".into(),
        delegation: Some(delegation.clone()),
        ..principal("payments", &[])
    };
    assert_eq!(acting(&token, true, &[]), Ok(Some(delegation.clone())));
    assert_eq!(acting(&token, true, &[b"alice"]), Ok(Some(delegation)));
    for other in [b"bob".as_slice(), b"portal", b"Alice"] {
        assert_eq!(acting(&token, true, &[other]), Err(Reason::AssertedUserNotAllowed));
    }
    assert_eq!(acting(&token, false, &[b"alice"]), Err(Reason::AssertedUserNotAllowed));
}
