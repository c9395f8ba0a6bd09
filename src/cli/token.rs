//! `logkey token`: signs a token for trials, and creates the keys to sign with. In production an issuer signs
//! the tokens.

mod args;
mod claim;
mod claims;
mod error;
mod keys;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use jsonwebtoken::{Algorithm, Header};

pub use self::args::{Alg, TokenArgs};
pub(super) use self::error::TokenError;
use crate::{app::SystemClock, domain::time::Timestamp, ports::Clock as _};

/// The `typ` header of an access token (RFC 9068, section 2.1).
const ACCESS_TOKEN: &str = "at+jwt";

/// Runs the subcommand. Only the token goes to standard output.
#[must_use]
pub fn run(args: &TokenArgs) -> ExitCode {
    let now = SystemClock.now();
    let result = match &args.new_key {
        Some(folder) => keys::generate(folder)
            .map_err(TokenError::from)
            .and_then(|created| Ok(print(&created.to_string())?)),
        None => sign(args, now).and_then(|token| Ok(print(&token)?)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            // If standard error is closed too, there is nowhere to report the error.
            let _closed = writeln!(io::stderr(), "logkey token: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

/// Signs a token with the claims of these arguments.
pub(super) fn sign(args: &TokenArgs, now: Timestamp) -> Result<String, TokenError> {
    let file = args.key_file.as_deref().ok_or(TokenError::Missing("--key-file"))?;
    let (key, algorithm) = keys::read(file, args.alg.map(Algorithm::from))?;
    let kid = match &args.kid {
        Some(kid) => kid.clone(),
        None => keys::thumbprint(&key, algorithm)?,
    };
    let header = Header { typ: Some(ACCESS_TOKEN.to_owned()), kid: Some(kid), ..Header::new(algorithm) };
    let claims = claims::claims(args, now)?;
    jsonwebtoken::encode(&header, &claims, &key).map_err(TokenError::Sign)
}

/// Creates the keys and their key set in `folder`.
pub(super) fn make_keys(folder: &std::path::Path) -> Result<(), TokenError> {
    Ok(keys::generate(folder).map(drop)?)
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

#[cfg(test)]
mod tests;
