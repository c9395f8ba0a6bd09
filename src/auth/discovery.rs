//! Finds an issuer's keys through its discovery document.

use serde::Deserialize;
use url::Url;

use super::{
    allowed_url::{is_allowed_url, is_loopback},
    fetch::{FetchError, Http},
};

/// The used members of the document (`OpenID` Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

/// The keys that the document at `url` refers to. The document's issuer must equal this issuer byte for byte;
/// otherwise one issuer could impersonate another (section 4.3).
pub(super) async fn keys(http: &Http, issuer: &str, url: &Url) -> Result<Vec<u8>, FetchError> {
    let body = http.get(url).await?;
    let document: Document =
        serde_json::from_slice(&body).map_err(|reason| FetchError::NotDiscovery(Some(reason)))?;
    if document.issuer != issuer {
        return Err(FetchError::OtherIssuer);
    }
    let jwks_uri: Url = document.jwks_uri.parse().map_err(|_invalid| FetchError::NotDiscovery(None))?;
    if !is_allowed_url(&jwks_uri) || (is_loopback(&jwks_uri) && !is_loopback(url)) {
        return Err(FetchError::Address(jwks_uri));
    }
    http.get(&jwks_uri).await
}
