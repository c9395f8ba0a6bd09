//! Reads an issuer's keys from a file.

use std::path::Path;

use tokio::{fs::File, io::AsyncReadExt};

use super::fetch::{FetchError, MAX_BODY};

/// The content of the file, which may be as long as an issuer's response.
pub(super) async fn keys(path: &Path) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    File::open(path).await?.take(MAX_BODY as u64 + 1).read_to_end(&mut body).await?;
    if body.len() > MAX_BODY { Err(FetchError::TooLong) } else { Ok(body) }
}
