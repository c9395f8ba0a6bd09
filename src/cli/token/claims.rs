//! The claims of a token.

use serde_json::{Map, Value, json};

use super::{args::TokenArgs, claim::Claim, error::TokenError};
use crate::{auth::ClaimPath, domain::time::Timestamp};

/// Collects all claims. A later one replaces an earlier one, so `--claim` has the last word.
pub(super) fn claims(args: &TokenArgs, now: Timestamp) -> Result<Value, TokenError> {
    let issuer = args.issuer.as_deref().ok_or(TokenError::Missing("--issuer"))?;
    let tenant = args.tenant.as_deref().ok_or(TokenError::Missing("--tenant"))?;
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    put("iss", json!(issuer));
    put("sub", json!(args.subject));
    put("aud", if let [one] = &args.audience[..] { json!(one) } else { json!(args.audience) });
    put("iat", json!(now.as_secs()));
    put("nbf", json!(now.as_secs()));
    put("exp", json!(now.plus(args.ttl).as_secs()));
    put("jti", json!(uuid::Uuid::new_v4().to_string()));
    put("scope", json!(args.scope.join(" ")));
    let mut claims = Value::Object(claims);
    put_at(&mut claims, &args.tenant_claim, json!(tenant))?;
    for Claim { path, value } in &args.claim {
        put_at(&mut claims, path, value.clone())?;
    }
    Ok(claims)
}

fn put_at(claims: &mut Value, path: &ClaimPath, value: Value) -> Result<(), TokenError> {
    let mut node = claims;
    for name in path.names() {
        if node.is_null() {
            *node = json!({});
        }
        let Value::Object(members) = node else { return Err(TokenError::NotAnObject) };
        node = members.entry(name).or_insert(Value::Null);
    }
    *node = value;
    Ok(())
}
