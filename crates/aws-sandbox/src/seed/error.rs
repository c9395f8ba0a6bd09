//! The errors in a seed. All of them are reported at once.

use std::fmt;

use crate::policy::error::InvalidPolicy;

/// All errors in a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedErrors(pub Vec<SeedError>);

/// One error in a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedError {
    /// Where the error is. An object that cannot be parsed has its position in the file, such as
    /// `accounts[0].keys[2]`; any other has its name, such as `account 111122223333, key k1 in us-east-1`.
    pub location: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

// === impl SeedErrors ===

impl fmt::Display for SeedErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, SeedError { location, message }) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{location}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SeedErrors {}

impl From<InvalidPolicy> for SeedErrors {
    fn from(error: InvalidPolicy) -> Self {
        Self(vec![SeedError { location: "policy".to_owned(), message: error.to_string() }])
    }
}
