//! The argument `--config`, which is the same in every command.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use crate::{
    config::{Env, Settings},
    domain::{
        nearest::nearest,
        tenant::{Tenant, TenantId},
    },
};

/// The variable that replaces the default of `--config`.
const VARIABLE: &str = "LOGKEY_CONFIG";
/// The file without `--config` and without the variable.
const DEFAULT: &str = "logkey.toml";

/// The argument `--config`.
#[derive(Args, Clone, Debug)]
pub struct ConfigFile {
    /// The service's configuration file, in TOML [env: `LOGKEY_CONFIG`] [default: logkey.toml]
    #[arg(id = "config", long = "config", value_name = "FILE", global = true)]
    path: Option<PathBuf>,
}

// === impl ConfigFile ===

impl ConfigFile {
    /// The path of `--config`, else of the variable, else the default.
    pub(super) fn path(&self, env: &dyn Env) -> PathBuf {
        let variable = || env.get(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.path.clone().or_else(variable).unwrap_or_else(|| DEFAULT.into())
    }
}

/// The tenant with this id.
///
/// # Errors
///
/// That there is none, with the id that is most similar.
pub(super) fn tenant<'s>(settings: &'s Settings, id: &TenantId) -> Result<&'s Arc<Tenant>, String> {
    settings.tenants.find(id).ok_or_else(|| {
        let ids: Vec<&str> = settings.tenants.iter().map(|tenant| tenant.id.as_str()).collect();
        let meant = nearest(id.as_str(), &ids).map(|name| format!(": did you mean {name}?"));
        format!("there is no tenant {id}{}", meant.unwrap_or_default())
    })
}

#[cfg(test)]
impl From<PathBuf> for ConfigFile {
    fn from(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }
}
