//! `logkey login`: obtains a token and keeps it with a context.

use std::path::PathBuf;

use clap::Args;
use url::Url;

use super::shared::{ServiceArgs, hint};
use crate::{
    connection::{
        args::absolute,
        login::{Grant, Login},
        oauth,
    },
    failure::Failure,
    output,
};

/// The context of a login that names none.
const DEFAULT_CONTEXT: &str = "default";

/// The arguments of `logkey login`. What is left out comes from the last login of the context.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// The issuer, as in the claim `iss` of its tokens
    #[arg(long, value_name = "URL")]
    issuer: Option<Url>,
    /// The id of the client that is registered for logkey
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file with the secret of the client
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// A scope to ask for. Can be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The audience to ask for, where the issuer takes one
    #[arg(long)]
    audience: Option<String>,
    /// The resource to ask for (RFC 8707), where the issuer takes one
    #[arg(long, value_name = "URI")]
    resource: Option<Url>,
    /// Log in as the client itself, without a person
    #[arg(long)]
    client_credentials: bool,
    /// Send the ID token to the service, not the access token
    #[arg(long)]
    id_token: bool,
    #[command(flatten)]
    service: ServiceArgs,
}

pub(super) async fn run(args: LoginArgs) -> Result<(), Failure> {
    let connection = &args.service.connection;
    let mut contexts = connection.contexts.read()?;
    let name = connection.context_name(&contexts).unwrap_or(DEFAULT_CONTEXT).to_owned();
    let mut context = connection.update(contexts.contexts.remove(&name).unwrap_or_default());
    let login = args.login(context.login.take().as_ref())?;
    let source = connection.contexts.login_source(&name, &login)?;
    let output = &args.service.output;
    let tokens = oauth::log_in(&login, |approval| {
        let url = approval.complete_url.as_ref().unwrap_or(&approval.url);
        let text = format!("Open {url} in a browser and approve the code {}.", approval.code);
        // Without it nobody can approve: it is no hint that --quiet leaves out.
        Ok(output::print_note(&text)?)
    });
    source.write(&tokens.await?)?;
    context.login = Some(login);
    (context.token_file, context.token_command) = (None, None);
    contexts.insert(&name, context)?;
    contexts.current.get_or_insert_with(|| name.clone());
    connection.contexts.write(&contexts)?;
    hint(output, &format!("Logged in. The token is kept with the context {name}."));
    Ok(())
}

impl LoginArgs {
    /// What is given, completed by the last login.
    fn login(&self, last: Option<&Login>) -> Result<Login, Failure> {
        let missing = |option: &str| Failure::Usage(format!("name {option}: the context has no login yet"));
        let own_scopes = !self.scopes.is_empty();
        Ok(Login {
            issuer: self
                .issuer
                .clone()
                .or_else(|| last.map(|it| it.issuer.clone()))
                .ok_or_else(|| missing("--issuer"))?,
            client_id: self
                .client_id
                .clone()
                .or_else(|| last.map(|it| it.client_id.clone()))
                .ok_or_else(|| missing("--client-id"))?,
            client_secret_file: absolute(self.client_secret_file.as_ref())
                .or_else(|| last?.client_secret_file.clone()),
            scopes: if own_scopes {
                self.scopes.clone()
            } else {
                last.map(|it| it.scopes.clone()).unwrap_or_default()
            },
            audience: self.audience.clone().or_else(|| last?.audience.clone()),
            resource: self.resource.clone().or_else(|| last?.resource.clone()),
            grant: if self.client_credentials {
                Grant::ClientCredentials
            } else {
                last.map(|it| it.grant).unwrap_or_default()
            },
            id_token: self.id_token || last.is_some_and(|it| it.id_token),
        })
    }
}
