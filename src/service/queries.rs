//! Reads: associations, the caller's own tenant and limits, and what to install in an account.

mod get;
mod list;
mod onboarding;
pub(super) mod page_keys;
pub(super) mod page_token;
mod whoami;

pub use self::{
    get::get,
    list::{Page, list},
    onboarding::onboarding,
    page_keys::PageTokens,
    whoami::{Whoami, whoami},
};
