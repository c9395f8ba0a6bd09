//! The session names in `CloudTrail`: valid for STS, and unique per tenant or caller.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::tenant::TenantId;

/// The longest `RoleSessionName` and `SourceIdentity`, in characters:
/// [`AssumeRole`](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
const MAX_NAME: usize = 64;
/// The bytes of the SHA-256 that keep changed names unique.
const DIGEST: usize = 16;
/// The length of these bytes in base64.
const DIGEST_TEXT: usize = 22;
/// The character before the digest. No unchanged name has it before a text that looks like a digest.
const DIGEST_MARK: char = ',';

/// A `RoleSessionName` or `SourceIdentity`: 2 to 64 of the characters `A-Za-z0-9_+=,.@-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionName(Box<str>);

// === impl SessionName ===

impl SessionName {
    /// The name of a tenant's session, or of a caller's session.
    ///
    /// A tenant id contains no `=`, so no tenant's session can have the name of another tenant's caller.
    pub(super) fn of(tenant: &TenantId, subject: Option<&str>) -> Self {
        match subject {
            None => Self::sanitize(&format!("logkey-{tenant}")),
            Some(subject) => Self::sanitize(&format!("{tenant}={subject}")),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text itself if STS accepts it. Otherwise its valid characters, the mark and a digest of the whole
    /// text. A text that already looks like that is changed too, so nobody can forge the name of another
    /// caller.
    fn sanitize(text: &str) -> Self {
        if text.len() <= MAX_NAME && text.chars().all(is_allowed) && !looks_digested(text) {
            return Self(text.into());
        }
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let digest = URL_SAFE_NO_PAD.encode(hash.as_ref().get(..DIGEST).unwrap_or_default());
        let start: String = text
            .chars()
            .take(MAX_NAME - DIGEST_TEXT - 1)
            .map(|c| if is_allowed(c) { c } else { '-' })
            .collect();
        Self(format!("{start}{DIGEST_MARK}{digest}").into())
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

fn looks_digested(text: &str) -> bool {
    text.rsplit_once(DIGEST_MARK).is_some_and(|(_, end)| end.len() == DIGEST_TEXT)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Tenant ids; some begin like session names.
    const TENANT: &str = "[a-z0-9]{1,2}|logkey-[a-z]{1,2}|[a-z0-9-]{50,63}";

    /// Subjects: valid ones, long ones, ones that look like changed names, and any others.
    fn subjects() -> impl Strategy<Value = String> {
        prop_oneof!["[a=,-]{0,3}", "[A-Za-z0-9_+=,.@-]{0,90}", "[a-z]{0,5},[A-Za-z0-9_-]{22}", ".{0,80}"]
    }

    fn name((tenant, subject): &(String, Option<String>)) -> SessionName {
        SessionName::of(&tenant.parse().unwrap(), subject.as_deref())
    }

    fn of(subject: &str) -> SessionName {
        SessionName::of(&"payments".parse().unwrap(), Some(subject))
    }

    #[test]
    fn a_valid_subject_stays_unchanged() {
        assert_eq!(of("alice@example.com").as_str(), "payments=alice@example.com");
        assert_eq!(SessionName::of(&"p".parse().unwrap(), None).as_str(), "logkey-p");
    }

    #[test]
    fn an_invalid_subject_becomes_valid_and_keeps_its_start() {
        let name = of("auth0|5f7c8ec7c33c6c004bbafe82");
        assert!(name.as_str().starts_with("payments=auth0-5f7c8ec7c33c6c"), "{name}");
        assert_eq!(of(&"x|".repeat(99)).as_str().len(), MAX_NAME);
    }

    #[test]
    fn no_subject_can_forge_the_name_of_another() {
        let victim = of("auth0|victim");
        let forged = victim.as_str().strip_prefix("payments=").unwrap();
        assert_ne!(of(forged), victim);
    }

    proptest! {
        #[test]
        fn every_name_is_valid_and_no_two_subjects_share_one(a in ".{0,80}", b in ".{0,80}") {
            let (one, two) = (of(&a), of(&b));
            prop_assert!((2..=MAX_NAME).contains(&one.as_str().len()));
            prop_assert!(one.as_str().chars().all(is_allowed));
            prop_assert_eq!(a == b, one == two);
        }

        #[test]
        fn no_two_of_many_callers_and_tenants_share_a_name(
            callers in prop::collection::hash_set((TENANT, prop::option::of(subjects())), 1..60),
        ) {
            let mut pairs = callers;
            // A forger chooses the name of another session as subject: the whole name, and its part after
            // `TENANT=`.
            let names: Vec<String> = pairs.iter().map(|pair| name(pair).to_string()).collect();
            let tenants: HashSet<String> = pairs.iter().map(|(tenant, _)| tenant.clone()).collect();
            for victim in names {
                let ends = tenants.iter().filter_map(|tenant| victim.strip_prefix(&format!("{tenant}=")));
                let forged: Vec<String> = ends.chain([&*victim]).map(str::to_owned).collect();
                pairs.extend(forged.into_iter().flat_map(|subject| {
                    tenants.iter().map(move |tenant| (tenant.clone(), Some(subject.clone())))
                }));
            }
            let named: HashSet<SessionName> = pairs.iter().map(name).collect();
            prop_assert_eq!(named.len(), pairs.len());
        }
    }
}
