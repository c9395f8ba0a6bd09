//! OAuth: the device flow (RFC 8628), client credentials, and refresh tokens.

use std::{fs, pin::Pin, time::Duration};

use jiff::Timestamp;
use oauth2::{
    AsyncHttpClient, Client, ClientId, ClientSecret, DeviceAuthorizationUrl,
    EmptyExtraDeviceAuthorizationFields, EndpointNotSet, EndpointSet, ExtraTokenFields, HttpRequest,
    HttpResponse, RefreshToken, RequestTokenError, Scope, StandardDeviceAuthorizationResponse,
    StandardRevocableToken, StandardTokenResponse, TokenResponse as _, TokenUrl,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
    },
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::login::{Grant, Login, StoredTokens};
use crate::failure::Failure;

/// How long the issuer may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What an issuer publishes about itself, as far as it matters here (OpenID Connect Discovery 1.0).
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
}

/// OpenID Connect adds the ID token to the response.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct IdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

type Tokens = StandardTokenResponse<IdToken, BasicTokenType>;
type OauthClient = Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What a person must do to approve a login.
#[derive(Debug)]
pub(crate) struct Approval {
    pub(crate) url: String,
    pub(crate) code: String,
    /// The URL with the code in it, if the issuer has one.
    pub(crate) complete_url: Option<String>,
}

/// Logs in. `ask` shows a person what to approve.
pub(crate) async fn log_in(
    login: &Login,
    ask: impl FnOnce(&Approval) -> Result<(), Failure>,
) -> Result<StoredTokens, Failure> {
    match login.grant {
        Grant::ClientCredentials => client_credentials(login).await,
        Grant::Device => device(login, ask).await,
    }
}

/// Gets another token without a person.
pub(crate) async fn renew(login: &Login, refresh_token: Option<String>) -> Result<StoredTokens, Failure> {
    match (login.grant, refresh_token) {
        (Grant::ClientCredentials, _) => client_credentials(login).await,
        (Grant::Device, None) => {
            Err(Failure::Denied("the login has expired; run \"logkey login\" again".to_owned()))
        }
        (Grant::Device, Some(token)) => {
            let issuer = Issuer::discover(login).await?;
            let old = RefreshToken::new(token);
            let mut request = issuer.client.exchange_refresh_token(&old);
            for (name, value) in resource(login) {
                request = request.add_extra_param(name, value);
            }
            let answer = request.request_async(&issuer.http).await;
            let mut tokens = stored(login, &answer.map_err(|error| ended(failed(login, &error)))?)?;
            tokens.refresh_token = tokens.refresh_token.or_else(|| Some(old.into_secret()));
            Ok(tokens)
        }
    }
}

async fn client_credentials(login: &Login) -> Result<StoredTokens, Failure> {
    let issuer = Issuer::discover(login).await?;
    let scopes = login.scopes.iter().cloned().map(Scope::new);
    let mut request = issuer.client.exchange_client_credentials().add_scopes(scopes);
    for (name, value) in extra(login) {
        request = request.add_extra_param(name, value);
    }
    let answer = request.request_async(&issuer.http).await;
    stored(login, &answer.map_err(|error| failed(login, &error))?)
}

async fn device(
    login: &Login,
    ask: impl FnOnce(&Approval) -> Result<(), Failure>,
) -> Result<StoredTokens, Failure> {
    let issuer = Issuer::discover(login).await?;
    let url = issuer.device_url.clone().ok_or_else(|| {
        Failure::Usage(format!(
            "{} has no device flow; use --client-credentials or --token-command",
            login.issuer
        ))
    })?;
    let client = issuer.client.clone().set_device_authorization_url(url);
    let scopes = login.scopes.iter().cloned().map(Scope::new);
    let mut request = client.exchange_device_code().add_scopes(scopes);
    for (name, value) in extra(login) {
        request = request.add_extra_param(name, value);
    }
    let details: StandardDeviceAuthorizationResponse =
        request.request_async(&issuer.http).await.map_err(|error| failed(login, &error))?;
    ask(&approval(&details))?;
    let mut request = client.exchange_device_access_token(&details);
    for (name, value) in resource(login) {
        request = request.add_extra_param(name, value);
    }
    let answer = request.request_async(&issuer.http, tokio::time::sleep, None).await;
    stored(login, &answer.map_err(|error| failed(login, &error))?)
}

fn approval(details: &oauth2::DeviceAuthorizationResponse<EmptyExtraDeviceAuthorizationFields>) -> Approval {
    Approval {
        url: details.verification_uri().to_string(),
        code: details.user_code().secret().clone(),
        complete_url: details.verification_uri_complete().map(|url| url.secret().clone()),
    }
}

/// The parameters that not every issuer knows.
fn extra(login: &Login) -> impl Iterator<Item = (&'static str, String)> {
    let audience = login.audience.iter().map(|audience| ("audience", audience.clone()));
    audience.chain(resource(login))
}

/// The resource belongs into each request of a flow (RFC 8707, section 2.2).
fn resource(login: &Login) -> impl Iterator<Item = (&'static str, String)> {
    login.resource.iter().map(|resource| ("resource", resource.to_string()))
}

/// A login that cannot be renewed begins again.
fn ended(failure: Failure) -> Failure {
    if matches!(failure, Failure::Denied(_)) {
        let hint = "Run \"logkey login\" again.".to_owned();
        return Failure::WithHint { failure: Box::new(failure), hint };
    }
    failure
}

fn stored(login: &Login, tokens: &Tokens) -> Result<StoredTokens, Failure> {
    let token = if login.id_token {
        let missing = || Failure::Usage(format!("{} sent no ID token; add --scope openid", login.issuer));
        tokens.extra_fields().id_token.clone().ok_or_else(missing)?
    } else {
        tokens.access_token().secret().clone()
    };
    let lifetime = tokens.expires_in().and_then(|it| i64::try_from(it.as_secs()).ok());
    Ok(StoredTokens {
        token,
        refresh_token: tokens.refresh_token().map(|token| token.secret().clone()),
        expires_at: lifetime.and_then(|lifetime| Timestamp::now().as_second().checked_add(lifetime)),
    })
}

/// The endpoints of an issuer.
struct Issuer {
    client: OauthClient,
    device_url: Option<DeviceAuthorizationUrl>,
    http: Http,
}

/// Sends the requests of the flows.
struct Http(reqwest::Client);

impl Issuer {
    async fn discover(login: &Login) -> Result<Self, Failure> {
        let http = Http::new().map_err(|error| unreachable(&login.issuer, &error))?;
        let base = login.issuer.as_str().trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let answer = http.0.get(&url).send().await.and_then(reqwest::Response::error_for_status);
        let answer = answer.map_err(|error| unreachable(&login.issuer, &error))?;
        let body = answer.bytes().await.map_err(|error| unreachable(&login.issuer, &error))?;
        let found: Discovery =
            serde_json::from_slice(&body).map_err(|error| unreachable(&login.issuer, &error))?;
        // An issuer that calls itself otherwise could be another one's page.
        if found.issuer.trim_end_matches('/') != base {
            return Err(Failure::Usage(format!(
                "{url} is about the issuer {}, not about {base}",
                found.issuer
            )));
        }
        let invalid = |error: oauth2::url::ParseError| Failure::Usage(format!("{url}: {error}"));
        let mut client = Client::new(ClientId::new(login.client_id.clone()))
            .set_token_uri(TokenUrl::new(found.token_endpoint).map_err(invalid)?);
        if let Some(file) = &login.client_secret_file {
            let secret = fs::read_to_string(file).map_err(|error| Failure::file("read", file, &error))?;
            client = client.set_client_secret(ClientSecret::new(secret.trim().to_owned()));
        }
        let device_url = found.device_authorization_endpoint.map(DeviceAuthorizationUrl::new);
        Ok(Self { client, device_url: device_url.transpose().map_err(invalid)?, http })
    }
}

impl Http {
    fn new() -> reqwest::Result<Self> {
        // A redirect could carry the secret of the client elsewhere.
        let redirects = reqwest::redirect::Policy::none();
        reqwest::Client::builder().redirect(redirects).timeout(TIMEOUT).build().map(Self)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = oauth2::HttpClientError<reqwest::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Self::Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.execute(request.try_into().map_err(Box::new)?).await.map_err(Box::new)?;
            let mut response = HttpResponse::default();
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            *response.body_mut() = answer.bytes().await.map_err(Box::new)?.to_vec();
            Ok(response)
        })
    }
}

/// The issuer refused, with its own words.
fn failed<R, T>(login: &Login, error: &RequestTokenError<R, T>) -> Failure
where
    R: std::error::Error + 'static,
    T: oauth2::ErrorResponse + std::fmt::Display + 'static,
{
    match error {
        RequestTokenError::ServerResponse(answer) => {
            Failure::Denied(format!("{} refused the login: {answer}", login.issuer))
        }
        RequestTokenError::Request(cause) => unreachable(&login.issuer, cause),
        RequestTokenError::Parse(cause, _) => unreachable(&login.issuer, cause),
        RequestTokenError::Other(cause) => Failure::Usage(format!("{}: {cause}", login.issuer)),
    }
}

fn unreachable(issuer: &Url, error: &dyn std::error::Error) -> Failure {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Failure::Unreachable { server: issuer.to_string(), cause: cause.to_string() }
}
