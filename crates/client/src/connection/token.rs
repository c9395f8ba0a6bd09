//! Where the token of a call comes from.

use std::{fmt, path::PathBuf};

use tokio::{process::Command, sync::Mutex};

use super::{bearer::Token, login_source::LoginSource};
use crate::failure::Failure;

/// A source of tokens.
#[derive(Debug)]
pub(crate) enum TokenSource {
    /// This token.
    Fixed(Token),
    /// The content of a file, read for each call.
    File(PathBuf),
    /// The output of a shell command, kept until the service refuses it.
    Command {
        /// The command line.
        line: String,
        /// The last output.
        last: Mutex<Option<Token>>,
    },
    /// The tokens of `logkey login`.
    Login(Box<LoginSource>),
}

// === impl TokenSource ===

impl TokenSource {
    /// A source for what is given of a file and a command.
    pub(crate) fn new(file: Option<&PathBuf>, command: Option<&String>) -> Option<Self> {
        let from_command = |line: &String| Self::Command { line: line.clone(), last: Mutex::new(None) };
        file.map(|file| Self::File(file.clone())).or_else(|| command.map(from_command))
    }

    /// The token for the next call.
    pub(crate) async fn token(&self) -> Result<Token, Failure> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::Login(source) => source.token().await,
            Self::File(path) => {
                let text = tokio::fs::read_to_string(path).await;
                let cannot = |cause: &dyn fmt::Display| {
                    Failure::Usage(format!("cannot use the token in {}: {cause}", path.display()))
                };
                text.map_err(|error| cannot(&error))?.parse().map_err(|error: String| cannot(&error))
            }
            Self::Command { line, last } => {
                let mut last = last.lock().await;
                match &*last {
                    Some(token) => Ok(token.clone()),
                    None => Ok(last.insert(run(line).await?).clone()),
                }
            }
        }
    }

    /// Gets a new token because the service refused this one. `None`: there is no other.
    pub(crate) async fn renew(&self, refused: &Token) -> Result<Option<Token>, Failure> {
        if let Self::Command { last, .. } = self {
            *last.lock().await = None;
        }
        let token = match self {
            Self::Login(source) => source.renew(refused).await?,
            Self::Fixed(_) | Self::File(_) | Self::Command { .. } => self.token().await?,
        };
        Ok(Some(token).filter(|token| token != refused))
    }
}

async fn run(line: &str) -> Result<Token, Failure> {
    let cannot = |cause: String| Failure::Usage(format!("--token-command: {cause}"));
    let output = Command::new("sh").args(["-c", line]).stderr(std::process::Stdio::inherit()).output().await;
    let output = output.map_err(|error| cannot(format!("cannot run sh: {error}")))?;
    if !output.status.success() {
        return Err(cannot(format!("the command ended with {}", output.status)));
    }
    String::from_utf8_lossy(&output.stdout)
        .parse()
        .map_err(|error| cannot(format!("its output is no token: {error}")))
}
