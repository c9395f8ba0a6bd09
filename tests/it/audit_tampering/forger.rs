//! What somebody can do who may write the database, but does not have the signing key.

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use logkey::audit::checkpoint::SigningKey;
use signed_note::{Note, StandardSigner};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tlog_tiles::{Checkpoint, Hash};

use super::event_text;

/// A key that is not the log's.
pub(crate) struct ForeignKey {
    pub(crate) verifier: String,
    signer: StandardSigner,
}

/// An open database file.
pub(crate) struct Database(SqliteConnection);

impl ForeignKey {
    /// The key in this file, which it creates if there is none.
    pub(crate) fn create(path: &Path, origin: &str) -> Self {
        let verifier = SigningKey::open_or_create(path, origin).unwrap().verifier().to_owned();
        let der = pem::parse(std::fs::read(path).unwrap()).unwrap();
        let seed = &der.contents()[16..];
        let (name, id) = (origin, verifier.split('+').nth(1).unwrap());
        let secret = BASE64_STANDARD.encode([&[1], seed].concat());
        let signer = StandardSigner::new(&format!("PRIVATE+KEY+{name}+{id}+{secret}")).unwrap();
        Self { verifier, signer }
    }

    /// A checkpoint with this key's signature.
    pub(crate) fn sign(&self, origin: &str, size: u64, root: Hash) -> String {
        self.sign_with(origin, size, root, "logkey-format-2-after 0\n")
    }

    /// A checkpoint with this extension line.
    pub(crate) fn sign_with(&self, origin: &str, size: u64, root: Hash, extension: &str) -> String {
        let text = Checkpoint::new(origin, size, root, extension).unwrap().to_bytes();
        let mut note = Note::new(&text, &[]).unwrap();
        note.add_sigs(&[&self.signer]).unwrap();
        String::from_utf8(note.to_bytes()).unwrap()
    }

    /// The event `RotateKey` by which the log would trust this key.
    pub(crate) fn rotation(&self, from: &str) -> String {
        lifecycle("RotateKey", &format!(r#""old_verifier":"{from}","new_verifier":"{}""#, self.verifier))
    }
}

/// The event `Archive` by which the first events would be allowed to be missing.
pub(crate) fn archive(last: u64, root: &str) -> String {
    lifecycle("Archive", &format!(r#""archived_last":{last},"archived_root":"{root}""#))
}

/// An event of the service as it writes it.
fn lifecycle(action: &str, fields: &str) -> String {
    let (id, call) = (uuid::Uuid::now_v7(), uuid::Uuid::now_v7());
    format!(
        r#"{{"time":1700000000000,"status_id":1,"metadata":{{"uid":"{id}","correlation_uid":"{call}","event_code":"lifecycle"}},"api":{{"operation":"{action}"}},"cloud":{{"provider":"AWS"}},"unmapped":{{"logkey":{{"time_us":1700000000000000,{fields}}}}}}}"#
    )
}

/// The root over these leaves (RFC 6962, section 2.1).
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => tlog_tiles::EMPTY_HASH,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            tlog_tiles::node_hash(root(left), root(right))
        }
    }
}

impl Database {
    pub(crate) async fn open(folder: &Path) -> Self {
        let url = format!("sqlite://{}/logkey.db", folder.display());
        Self(SqliteConnection::connect(&url).await.unwrap())
    }

    /// Opens the file and stores every event as text, as earlier releases did, so that SQL can change its text.
    pub(crate) async fn open_as_text(folder: &Path) -> Self {
        let Self(mut file) = Self::open(folder).await;
        sqlx::raw_sql("BEGIN").execute(&mut file).await.unwrap();
        for (seq, text) in event_text::after(&mut file, i64::MIN).await.unwrap() {
            let update = sqlx::query("UPDATE event SET body = $1, packed = NULL WHERE seq = $2");
            update.bind(text).bind(seq).execute(&mut file).await.unwrap();
        }
        sqlx::raw_sql("COMMIT").execute(&mut file).await.unwrap();
        Self(file)
    }

    pub(crate) async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.0).await.unwrap();
    }

    pub(crate) async fn insert_event(&mut self, seq: i64, body: &str) {
        let insert = sqlx::query("INSERT INTO event (seq, body) VALUES ($1, $2)").bind(seq).bind(body);
        insert.execute(&mut self.0).await.unwrap();
    }

    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.0).await.unwrap()
    }

    pub(crate) async fn bodies(&mut self) -> Vec<String> {
        sqlx::query_scalar("SELECT body FROM event ORDER BY seq").fetch_all(&mut self.0).await.unwrap()
    }

    /// The compressed form of an event.
    pub(crate) async fn frame(&mut self, seq: u64) -> Vec<u8> {
        let query = sqlx::query_scalar("SELECT packed FROM event WHERE seq = $1");
        query.bind(i64::try_from(seq).unwrap()).fetch_one(&mut self.0).await.unwrap()
    }

    pub(crate) async fn set_frame(&mut self, seq: u64, frame: &[u8]) {
        let update = sqlx::query("UPDATE event SET packed = $1 WHERE seq = $2").bind(frame.to_vec());
        update.bind(i64::try_from(seq).unwrap()).execute(&mut self.0).await.unwrap();
    }

    pub(crate) async fn store_note(&mut self, size: i64, note: &str, handover: bool) {
        let insert = sqlx::query(
            "INSERT OR REPLACE INTO checkpoint (size, time, note, handover) VALUES ($1, 1, $2, $3)",
        );
        insert.bind(size).bind(note).bind(handover).execute(&mut self.0).await.unwrap();
    }

    /// Replaces the tree by one over these events, and returns its root.
    pub(crate) async fn rebuild_tiles(&mut self, bodies: &[String]) -> Hash {
        self.run("DELETE FROM tile").await;
        let leaves: Vec<Hash> = bodies.iter().map(|body| tlog_tiles::record_hash(body.as_bytes())).collect();
        let mut level: Vec<Hash> = leaves.clone();
        for number in 0..2_i64 {
            for (place, hashes) in (0_i64..).zip(level.chunks(256)) {
                let hashes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
                let insert = sqlx::query("INSERT INTO tile (level, place, hashes) VALUES ($1, $2, $3)");
                insert.bind(number).bind(place).bind(hashes).execute(&mut self.0).await.unwrap();
            }
            level = level.chunks_exact(256).map(root).collect();
        }
        root(&leaves)
    }

    pub(crate) async fn close(self) {
        self.0.close().await.unwrap();
    }
}
