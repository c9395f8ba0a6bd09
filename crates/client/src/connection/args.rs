//! The options of every command that calls the service.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use url::Url;

use super::{
    bearer::UncheckedToken,
    contexts::{Context, Contexts, ContextsFile},
    duration,
    token::TokenSource,
};
use crate::failure::Failure;

/// How to reach the service. What an option leaves open comes from the context.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// The URL of the service: `https://HOST:PORT`, or `http://HOST:PORT` without TLS
    #[arg(long, value_name = "URL", env = "LOGKEY_SERVER", global = true, value_parser = parse_server)]
    server: Option<Url>,
    /// The context to use instead of the current one: see `logkey context`
    #[arg(long, value_name = "NAME", env = "LOGKEY_CONTEXT", global = true)]
    context: Option<String>,
    /// The certificates that the service's certificate is verified against, in PEM, instead of those of the system
    #[arg(long, value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// The client certificate with its chain, in PEM
    #[arg(long, value_name = "FILE", global = true, requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The private key of the client certificate, in PEM
    #[arg(long, value_name = "FILE", global = true, requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// A file with the token. It is read again for each call
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "token_command")]
    token_file: Option<PathBuf>,
    /// A shell command that prints the token. It runs again when the token has expired
    #[arg(long, value_name = "COMMAND", global = true)]
    token_command: Option<String>,
    /// The token itself. A command line is visible to others: use the variable
    #[arg(long, hide = true, env = "LOGKEY_TOKEN", hide_env_values = true, global = true)]
    token: Option<UncheckedToken>,
    /// How long a call may take, retries included
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration::parse, global = true)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) contexts: ContextsFile,
}

/// What is needed to call the service.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) server: Url,
    pub(crate) ca_file: Option<PathBuf>,
    /// The files of the client certificate and of its key.
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) token: TokenSource,
}

/// The files of a client certificate.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

// === impl ConnectionArgs ===

impl ConnectionArgs {
    /// Completes the options by the context.
    pub(crate) fn resolve(&self) -> Result<Connection, Failure> {
        let contexts = self.contexts.read()?;
        let name = self.context_name(&contexts);
        let context = name.map_or_else(|| Ok(Context::default()), |name| contexts.get(name).cloned())?;
        let server = self.server.clone().or_else(|| context.server.clone());
        let server = server.ok_or_else(|| {
            Failure::Usage(
                "no service is named: give its URL with --server or LOGKEY_SERVER, or choose a context with \
                 \"logkey context use NAME\""
                    .to_owned(),
            )
        })?;
        let ca_file = self.ca_file.clone().or_else(|| context.ca_file.clone());
        let own = self.client_cert.clone().zip(self.client_key.clone());
        let certificate = own.or_else(|| context.client_cert.clone().zip(context.client_key.clone()));
        let client_certificate = certificate.map(|(cert, key)| ClientCertificate { cert, key });
        Ok(Connection { server, ca_file, client_certificate, token: self.token_source(name, &context)? })
    }

    /// The context, with these options instead of those that it has.
    pub(crate) fn update(&self, context: Context) -> Context {
        let own_token = self.token_file.is_some() || self.token_command.is_some();
        let (token_file, token_command) =
            if own_token { (None, None) } else { (context.token_file, context.token_command) };
        Context {
            server: self.server.clone().or(context.server),
            ca_file: absolute(self.ca_file.as_ref()).or(context.ca_file),
            client_cert: absolute(self.client_cert.as_ref()).or(context.client_cert),
            client_key: absolute(self.client_key.as_ref()).or(context.client_key),
            token_file: absolute(self.token_file.as_ref()).or(token_file),
            token_command: self.token_command.clone().or(token_command),
            login: context.login,
        }
    }

    /// The name of the context that is given or in use.
    pub(crate) fn context_name<'a>(&'a self, contexts: &'a Contexts) -> Option<&'a str> {
        self.context.as_deref().or(contexts.current.as_deref())
    }

    fn token_source(&self, name: Option<&str>, context: &Context) -> Result<TokenSource, Failure> {
        let from_options = TokenSource::new(self.token_file.as_ref(), self.token_command.as_ref());
        if let (None, Some(token)) = (&from_options, &self.token) {
            let invalid = |cause| Failure::Usage(format!("cannot use the token in LOGKEY_TOKEN: {cause}"));
            return token.parse().map(TokenSource::Fixed).map_err(invalid);
        }
        let source = from_options
            .or_else(|| TokenSource::new(context.token_file.as_ref(), context.token_command.as_ref()));
        if let (None, Some(name), Some(login)) = (&source, name, &context.login) {
            return Ok(TokenSource::Login(Box::new(self.contexts.login_source(name, login)?)));
        }
        source.ok_or_else(|| {
            Failure::Usage(
                "no token is given: use --token-file, --token-command, LOGKEY_TOKEN, a context that has one of \
                 them, or \"logkey login\""
                    .to_owned(),
            )
        })
    }
}

/// A context is used from any folder.
pub(crate) fn absolute(file: Option<&PathBuf>) -> Option<PathBuf> {
    file.map(|file| std::path::absolute(file).unwrap_or_else(|_unknown_folder| file.clone()))
}

fn parse_server(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.has_host() && url.path() == "/" && url.query().is_none());
    url.ok_or_else(|| {
        "expected a URL such as https://logkey.example:443 or http://127.0.0.1:50051".to_owned()
    })
}
