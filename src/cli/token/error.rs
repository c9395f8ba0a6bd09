//! Why `logkey token` fails.

use std::io;

use thiserror::Error;

use super::keys::KeyError;

/// Why a token could not be signed or a key not created.
#[derive(Debug, Error)]
pub(in crate::cli) enum TokenError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the token cannot be signed with this key")]
    Sign(#[source] jsonwebtoken::errors::Error),
    #[error("--claim or --tenant-claim names a member of a claim that is not an object")]
    NotAnObject,
    #[error("{0} is required")]
    Missing(&'static str),
    #[error("the output cannot be written")]
    Write(#[from] io::Error),
}
