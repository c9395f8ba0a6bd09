//! Reads the settings from TOML and the environment into types. `cli` calls it at the start, and
//! `app::reload` when the settings change. It reports every problem at once. It never repeats an invalid
//! value, which may be a secret. `docs/configuration.md` explains each key.

mod archive;
mod audit;
mod auth;
mod authorities;
mod aws;
mod diagnostic;
mod env;
mod env_overlay;
mod fleet;
mod interner;
mod limits;
mod otlp;
mod policy;
mod reader;
mod rules;
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
    archive::{ArchiveSettings, ArchiveTarget},
    audit::Audit,
    diagnostic::{Diagnostic, SourceLocation, join_diagnostics},
    env::{EmptyEnv, Env, ProcessEnv},
    env_overlay::PREFIX,
    fleet::Fleet,
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

/// The effective configuration of the service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[server]`: addresses, TLS and limits of the gRPC server.
    pub server: Server,
    /// `[store]`: the database of the audit log.
    pub store: Store,
    /// `[auth]`: the issuers whose tokens the service accepts.
    pub auth: crate::auth::Config,
    /// `[limits]`: tenant quotas and AWS quotas.
    pub limits: LimitSettings,
    /// `[aws]`: how the service calls AWS.
    pub aws: crate::aws::Config,
    /// `[audit]`: what is recorded, signed, archived and copied to sinks.
    pub audit: Audit,
    /// `[fleet]`: bulk jobs and encryption rules.
    pub fleet: Fleet,
    /// `[policy]`: the operator's policies, in addition to the tenants' grants.
    pub policy: Policy,
    /// `[telemetry]`: the log lines, metrics and traces of the service.
    pub telemetry: Telemetry,
    /// `[[tenants]]` and `tenants_dir`: the tenants and their grants.
    pub tenants: Tenants,
    /// Settings that are valid but unsafe or without effect.
    pub warnings: Vec<Diagnostic>,
    /// Every file that was read, the main one first. A change of any of them changes the settings.
    pub files: Vec<PathBuf>,
}

// === impl Settings ===

impl Settings {
    /// Reads the file, the files that it names, and the environment variables, which override the file.
    ///
    /// # Errors
    ///
    /// Every problem, in the order of files and lines.
    pub fn load(path: &Path, env: &dyn Env) -> Result<Self, Vec<Diagnostic>> {
        let reader = Reader::default();
        let Some((source, mut table)) = reader.document(path) else { return Err(reader.diagnostics()) };
        env_overlay::apply_env(&mut table, env, &reader);
        let mut read = read(&Section::root(source, &table, &reader), env);
        let authorities = authorities::read(env, &reader);
        if let Some(Settings { store, aws, auth, limits, telemetry, .. }) = &mut read {
            authorities.apply(store, aws, &mut auth.issuers, &mut limits.backend);
            if let Some(otlp) = &mut telemetry.otlp {
                otlp.authorities = authorities.pem();
            }
        }
        if !reader.is_clean() {
            return Err(reader.diagnostics());
        }
        let (warnings, files) = (reader.warnings(), reader.files());
        read.map(|settings| Self { warnings, files, ..settings }).ok_or_else(|| reader.diagnostics())
    }
}

/// Reads every section before it fails because of one, so that it finds every problem.
fn read(root: &Section<'_>, env: &dyn Env) -> Option<Settings> {
    let server = server::read(&root.section("server"));
    let store_section = root.section("store");
    let store = store::read(&store_section);
    let auth = auth::read(&root.section("auth"));
    let limits_section = root.section("limits");
    let limits = limits::read(&limits_section);
    let aws = aws::read(&root.section("aws"));
    let audit_section = root.section("audit");
    store::check(&store_section, store.as_ref(), &audit_section);
    store::check_limits(store.as_ref(), &limits, &limits_section);
    let audit = audit::read(&audit_section);
    let fleet = fleet::read(&root.section("fleet"));
    let policy = policy::read(&root.section("policy"));
    let telemetry = telemetry::read(&root.section("telemetry"), env);
    let files = tenants::files(root);
    let context = tenants::TenantContext { limits: limits.tenant, issuers: &auth.issuers };
    let tenants = tenants::read(root, &files, &context);
    if tenants.as_ref().is_some_and(Tenants::is_empty) {
        root.warn("tenants", "is empty: the service rejects every call until you add a tenant");
    }
    Some(Settings {
        server,
        store: store?,
        auth,
        limits,
        aws: aws?,
        audit,
        fleet,
        policy,
        telemetry,
        tenants: tenants?,
        warnings: Vec::new(),
        files: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
