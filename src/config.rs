//! Settings: text in, types out, every fault told at once. `cli` reads them at the start and
//! `app::reload` again when they change; a value that cannot be used is described and never repeated.
//!
//! What each key means stands in `docs/configuration.md`.

mod audit;
mod auth;
mod aws;
mod diagnostic;
mod env;
mod env_overlay;
mod interner;
mod limits;
mod policy;
mod reader;
mod secret;
mod section;
mod server;
mod sinks;
mod split_document;
mod store;
mod telemetry;
mod tenants;
mod tree;
mod value;

use std::path::{Path, PathBuf};

pub use self::{
    audit::{ArchiveSettings, Audit},
    diagnostic::{Diagnostic, SourceLocation},
    env::{EmptyEnv, Env, ProcessEnv},
    env_overlay::PREFIX,
    limits::{LimitBackend, LimitSettings},
    policy::Policy,
    server::Server,
    sinks::{SinkSettings, SinkTarget},
    store::Store,
    telemetry::{LogFormat, Telemetry},
    value::parse_duration,
};
use self::{reader::Reader, section::Section};
use crate::domain::tenant::Tenants;

/// Everything the service is told before it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen, and how.
    pub server: Server,
    /// Where the durable state is kept.
    pub store: Store,
    /// Whose tokens are taken.
    pub auth: crate::auth::Config,
    /// How much may be called.
    pub limits: LimitSettings,
    /// How AWS is reached.
    pub aws: crate::aws::Config,
    /// How the audit log is kept.
    pub audit: Audit,
    /// Rules beside those made from the tenants' grants.
    pub policy: Policy,
    /// How the service tells what it does.
    pub telemetry: Telemetry,
    /// Who the tenants are.
    pub tenants: Tenants,
    /// What works and should not be left so.
    pub warnings: Vec<Diagnostic>,
    /// Every file that was read, the main one first: a change of one is a change of settings.
    pub files: Vec<PathBuf>,
}

// === impl Settings ===

impl Settings {
    /// Reads the file, what it leads to, and the variables that stand above it.
    ///
    /// # Errors
    ///
    /// Every [`Fault`] found, in the order of files and lines.
    pub fn load(path: &Path, env: &dyn Env) -> Result<Self, Vec<Diagnostic>> {
        let reader = Reader::default();
        let Some((at, mut table)) = reader.document(path) else { return Err(reader.diagnostics()) };
        env_overlay::apply_env(&mut table, env, &reader);
        let read = read(&Section::root(at, &table, &reader));
        if !reader.is_text() {
            return Err(reader.diagnostics());
        }
        let (warnings, files) = (reader.warnings(), reader.files());
        read.map(|settings| Self { warnings, files, ..settings }).ok_or_else(|| reader.diagnostics())
    }
}

/// Every part is read before one can end it all, so that every fault is found.
fn read(root: &Section<'_>) -> Option<Settings> {
    let server = server::read(&root.section("server"));
    let store_section = root.section("store");
    let store = store::read(&store_section);
    let auth = auth::read(&root.section("auth"));
    let limits = limits::read(&root.section("limits"));
    let aws = aws::read(&root.section("aws"));
    let audit_section = root.section("audit");
    store::check(&store_section, store.as_ref(), &audit_section);
    let audit = audit::read(&audit_section);
    let policy = policy::read(&root.section("policy"));
    let telemetry = telemetry::read(&root.section("telemetry"));
    let files = tenants::files(root);
    let issuers = tenants::RegisteredIssuers { limits: limits.tenant, issuers: &auth.issuers };
    let tenants = tenants::read(root, &files, &issuers);
    if tenants.as_ref().is_some_and(Tenants::is_empty) {
        root.warn("tenants", "is empty: every call is refused until there is a tenant");
    }
    Some(Settings {
        server,
        store: store?,
        auth,
        limits,
        aws: aws?,
        audit,
        policy,
        telemetry,
        tenants: tenants?,
        warnings: Vec::new(),
        files: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
