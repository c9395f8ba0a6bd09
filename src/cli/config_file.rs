//! The argument `--config`, which is the same in every command.

use std::path::PathBuf;

use clap::Args;

use crate::config::Env;

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

#[cfg(test)]
impl From<PathBuf> for ConfigFile {
    fn from(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }
}
