//! `logkey token`: signs a token for trials, and creates the keys to sign with. In production an issuer signs
//! the tokens.

mod args;
mod claim;
mod claims;
mod error;
mod keys;

use std::{io, process::ExitCode};

use jsonwebtoken::{Algorithm, Header};
use logkey_client::output::{Column, Format, OutputArgs, Report, Table, is_closed_pipe, print, print_text};
use serde_json::json;

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
            .and_then(|created| Ok(print(&created.report(), &args.output)?)),
        None => sign(args, now).and_then(|token| Ok(print_token(&token, now.plus(args.ttl), &args.output)?)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(TokenError::Write(error)) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            anstream::eprintln!("logkey token: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

fn print_token(token: &str, expires: Timestamp, output: &OutputArgs) -> io::Result<()> {
    // A line break would make a token that is copied from a terminal invalid.
    if output.format() == Some(Format::Table) {
        return print_text(token);
    }
    let expires = expires.to_string();
    let mut table = Table::new(&[Column::new("token"), Column::new("expire_time")], "");
    table.push([token.to_owned(), expires.clone()]);
    print(&Report::new(json!({ "token": token, "expireTime": expires }), table), output)
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

#[cfg(test)]
mod tests;
