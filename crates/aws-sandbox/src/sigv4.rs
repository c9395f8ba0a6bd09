//! Verifies that a request was signed with the secret of its access key. It signs the request again with the
//! AWS SDK's signing library and compares the two signatures.

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use http::{HeaderMap, request::Parts};
use jiff::{civil::DateTime, tz::TimeZone};

use crate::wire::call::Call;

const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";

/// Whether this request was signed with `secret`. The age of the signature is not checked.
pub(super) fn verify(secret: &str, call: &Call, parts: &Parts, body: &Bytes) -> bool {
    let signed = text(&parts.headers, "authorization").and_then(|header| {
        let field = |name: &str| {
            let mut fields = header.split([',', ' ']);
            fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let expected = resign(secret, call, parts, body, field("SignedHeaders")?)?;
        Some(field("Signature")? == expected)
    });
    signed.unwrap_or(false)
}

fn resign(secret: &str, call: &Call, parts: &Parts, body: &Bytes, signed_headers: &str) -> Option<String> {
    let headers = || signed_headers.split(';').filter_map(|name| Some((name, text(&parts.headers, name)?)));
    let token = headers().find(|(name, _)| *name == TOKEN).map(|(_, token)| token.to_owned());
    let identity = Credentials::new(&call.unverified_access_key, secret, token, None, "sandbox").into();
    // Exclude no headers, except those that the signer adds itself.
    let mut settings = SigningSettings::default();
    settings.excluded_headers = None;
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", text(&parts.headers, DATE)?).ok()?;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&call.region)
        .name(call.service.name())
        .time(time.to_zoned(TimeZone::UTC).ok()?.timestamp().into())
        .settings(settings)
        .build()
        .ok()?;
    let other_headers = headers().filter(|(name, _)| ![DATE, TOKEN].contains(name));
    let uri = format!("http://sandbox{}", parts.uri.path_and_query()?);
    let request =
        SignableRequest::new(parts.method.as_str(), uri, other_headers, SignableBody::Bytes(body)).ok()?;
    let (_instructions, signature) = sign(request, &params.into()).ok()?.into_parts();
    Some(signature)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
