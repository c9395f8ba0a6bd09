//! The contexts: names for the options of the connection, in `~/.config/logkey/config.toml`.

use std::{collections::BTreeMap, fs, io, io::Write as _, path::PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{login::Login, login_source::LoginSource};
use crate::failure::Failure;

/// The place of the file below the home directory.
const DEFAULT: &str = ".config/logkey/config.toml";

/// The argument that names the file.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ContextsFile {
    /// The file of the contexts. The default is `~/.config/logkey/config.toml`
    #[arg(long, value_name = "FILE", env = "LOGKEY_CONTEXTS", global = true)]
    contexts_file: Option<PathBuf>,
}

/// The content of the file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The context in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// The options of a connection.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) login: Option<Login>,
}

// === impl ContextsFile ===

impl ContextsFile {
    /// The path of the file.
    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        let home = || std::env::home_dir().map(|home| home.join(DEFAULT));
        self.contexts_file.clone().or_else(home).ok_or_else(|| {
            Failure::Usage("the home directory is not known: set HOME or LOGKEY_CONTEXTS".to_owned())
        })
    }

    /// A login with the file of its tokens: beside this one, named like the context.
    pub(crate) fn login_source(&self, context: &str, login: &Login) -> Result<LoginSource, Failure> {
        let file = self.path()?.with_file_name("tokens").join(format!("{context}.json"));
        Ok(LoginSource { login: login.clone(), file })
    }

    /// Reads the file. A file that does not exist has no contexts.
    pub(crate) fn read(&self) -> Result<Contexts, Failure> {
        let path = self.path()?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::file("read", &path, &error)),
        };
        toml::from_str(&text).map_err(|error| Failure::file("read", &path, &error))
    }

    /// Writes the file aside and replaces the former one. Only its owner may read it.
    pub(crate) fn write(&self, contexts: &Contexts) -> Result<(), Failure> {
        let path = self.path()?;
        let text = toml::to_string(contexts).map_err(|error| Failure::file("write", &path, &error))?;
        let folder = path.parent().unwrap_or(&path);
        let written = fs::create_dir_all(folder).and_then(|()| {
            // A temporary file has the mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        });
        written.map_err(|error| Failure::file("write", &path, &error))
    }
}

// === impl Contexts ===

impl Contexts {
    /// Stores a context. Its name is also that of the file with its tokens.
    pub(crate) fn insert(&mut self, name: &str, context: Context) -> Result<(), Failure> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            return Err(Failure::Usage(format!(
                "\"{name}\" cannot name a context; use letters, digits, \".\", \"-\" and \"_\""
            )));
        }
        self.contexts.insert(name.to_owned(), context);
        Ok(())
    }

    /// The context with this name.
    pub(crate) fn get(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let known = if names.is_empty() { "there is none yet".to_owned() } else { names.join(", ") };
            Failure::Usage(format!(
                "there is no context \"{name}\" (contexts: {known}); \"logkey context set {name} --server URL\" \
                 creates it"
            ))
        })
    }
}
