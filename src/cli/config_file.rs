//! The argument `--config`, which is the same in every command that reads the configuration.

use std::path::PathBuf;

use clap::Args;

/// The argument `--config`.
#[derive(Args, Clone, Debug)]
pub struct ConfigFile {
    /// The service's configuration file, in TOML
    #[arg(id = "config", long = "config", value_name = "FILE", default_value = "logkey.toml", global = true)]
    pub path: PathBuf,
}
