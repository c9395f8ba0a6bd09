//! The id of an AWS organization.

use std::str::FromStr;

use thiserror::Error;

/// The prefix of an id.
const PREFIX: &str = "o-";

/// The id of an AWS organization, such as `o-exampleorgid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationId(Box<str>);

/// The text is not the id of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not the id of an AWS organization; expected o- and 10 to 32 of a-z and 0-9")]
pub struct InvalidOrganizationId;

// === impl OrganizationId ===

impl OrganizationId {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrganizationId {
    type Err = InvalidOrganizationId;

    /// The pattern is that of `Id` in
    /// <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html>.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.strip_prefix(PREFIX).ok_or(InvalidOrganizationId)?;
        let valid = id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if valid && (10..=32).contains(&id.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidOrganizationId)
        }
    }
}
