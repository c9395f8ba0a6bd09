//! How a command reaches the service: its options, the contexts that give them a name, and the token.

pub(crate) mod args;
pub(crate) mod bearer;
pub(crate) mod channel;
pub(crate) mod contexts;
pub(crate) mod duration;
pub(crate) mod login;
pub(crate) mod login_source;
pub(crate) mod oauth;
pub(crate) mod token;
mod variables;

pub use args::ConnectionArgs;
pub use variables::ignore_empty_variables;
