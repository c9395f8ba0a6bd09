//! A token that `logkey login` obtained: how to get another one, and where it is kept.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    bearer::Token,
    login::{Login, StoredTokens},
    oauth,
};
use crate::failure::Failure;

/// A login with the file of its tokens.
#[derive(Debug)]
pub(crate) struct LoginSource {
    pub(crate) login: Login,
    pub(crate) file: PathBuf,
}

// === impl LoginSource ===

impl LoginSource {
    /// The stored token, or another one if it expires.
    pub(crate) async fn token(&self) -> Result<Token, Failure> {
        match self.valid(None)? {
            Some(token) => Ok(token),
            None => self.replace(None).await,
        }
    }

    /// Another token than this one, which the service refused.
    pub(crate) async fn renew(&self, refused: &Token) -> Result<Token, Failure> {
        self.replace(Some(refused)).await
    }

    /// Keeps tokens. Only the owner of the file may read it.
    pub(crate) fn write(&self, tokens: &StoredTokens) -> Result<(), Failure> {
        let text = serde_json::to_string(tokens).unwrap_or_default();
        let folder = self.folder();
        let written = fs::create_dir_all(folder).and_then(|()| {
            // A temporary file has the mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.persist(&self.file).map(drop).map_err(|error| error.error)
        });
        written.map_err(|error| Failure::file("write", &self.file, &error))
    }

    /// Gets other tokens, unless another command just did. An issuer can take each refresh token once, and end the
    /// login if it is sent twice (RFC 9700, section 4.14.2).
    async fn replace(&self, refused: Option<&Token>) -> Result<Token, Failure> {
        let _until_written = self.lock().await?;
        if let Some(token) = self.valid(refused)? {
            return Ok(token);
        }
        let refresh_token = self.read()?.and_then(|stored| stored.refresh_token);
        let tokens = oauth::renew(&self.login, refresh_token).await?;
        self.write(&tokens)?;
        self.parse(&tokens.token)
    }

    /// The stored token, if it does not expire soon and is not this one.
    fn valid(&self, refused: Option<&Token>) -> Result<Option<Token>, Failure> {
        let stored = self.read()?.filter(|stored| !stored.is_expiring(Timestamp::now()));
        let token = stored.map(|stored| self.parse(&stored.token)).transpose()?;
        Ok(token.filter(|token| Some(token) != refused))
    }

    /// Locks the folder of the tokens until the file is closed.
    async fn lock(&self) -> Result<fs::File, Failure> {
        let folder = self.folder().to_owned();
        let locked = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(&folder)?;
            let folder = fs::File::open(folder)?;
            folder.lock().map(|()| folder)
        });
        let locked = locked.await.map_err(io::Error::other).flatten();
        locked.map_err(|error| Failure::file("lock", self.folder(), &error))
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("."))
    }

    fn read(&self) -> Result<Option<StoredTokens>, Failure> {
        match fs::read_to_string(&self.file) {
            // A file that cannot be read is as good as none: a new login replaces it.
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file("read", &self.file, &error)),
        }
    }

    fn parse(&self, text: &str) -> Result<Token, Failure> {
        text.parse().map_err(|error: String| Failure::file("use", &self.file, &error))
    }
}
