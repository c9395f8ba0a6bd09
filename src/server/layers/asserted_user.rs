//! Reads `x-on-behalf-of`: the person for whom a backend calls with its own token. The authentication layer calls
//! it with the verified principal. A value that does not count is refused, never ignored.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::{
    domain::principal::{Delegation, Principal},
    ports::Authenticate,
    server::grpc::status::EdgeRefusal,
};

/// The metadata that names the person.
const ON_BEHALF_OF: HeaderName = HeaderName::from_static("x-on-behalf-of");
/// The longest name of a person, in characters.
const MAX_USER: usize = 256;

/// The principal with the person that the metadata names; the same principal if it names none.
pub(super) fn delegate(
    headers: &HeaderMap,
    principal: &Arc<Principal>,
    authn: &dyn Authenticate,
) -> Result<Arc<Principal>, EdgeRefusal> {
    let mut values = headers.get_all(ON_BEHALF_OF).iter();
    let Some(value) = values.next() else { return Ok(Arc::clone(principal)) };
    if !authn.may_assert_user(&principal.issuer) {
        return Err(EdgeRefusal::AssertedUser(
            "x-on-behalf-of does not count beside a token of your issuer: omit it, or ask the operator of this \
             service to set may_assert_user for the issuer",
        ));
    }
    if values.next().is_some() {
        return Err(invalid("occurs more than once: send one value"));
    }
    let user = user(value.as_bytes())?;
    match &principal.delegation {
        Some(delegation) if *delegation.on_behalf_of != *user => Err(EdgeRefusal::AssertedUser(
            "x-on-behalf-of names another person than the token, whose sub is the person because the token has act: \
             omit x-on-behalf-of",
        )),
        Some(_) => Ok(Arc::clone(principal)),
        None => {
            let delegation = Delegation { on_behalf_of: user.into(), actor: Arc::clone(&principal.subject) };
            Ok(Arc::new(Principal { delegation: Some(delegation), ..Principal::clone(principal) }))
        }
    }
}

/// The name of the person. gRPC allows printable ASCII in metadata, and spaces around it may be removed
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
fn user(value: &[u8]) -> Result<&str, EdgeRefusal> {
    let value = value.trim_ascii();
    if value.is_empty() {
        return Err(invalid("is empty: name the person, or omit it"));
    }
    if value.len() > MAX_USER {
        return Err(invalid("is longer than 256 characters: use a shorter name of the person"));
    }
    let printable = value.iter().all(|byte| (0x20..=0x7e).contains(byte));
    let text = std::str::from_utf8(value).ok().filter(|_| printable);
    text.ok_or_else(|| invalid("has characters other than printable ASCII: use a name without them"))
}

fn invalid(problem: &str) -> EdgeRefusal {
    EdgeRefusal::Body { violations: vec![(ON_BEHALF_OF.as_str().to_owned(), problem.to_owned())] }
}

#[cfg(test)]
mod tests;
