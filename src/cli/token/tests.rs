use std::fs;

use clap::Parser;
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    token: TokenArgs,
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_000_000)
}

fn args(words: &[&str]) -> TokenArgs {
    let given = ["token"].into_iter().chain(words.iter().copied());
    Cli::try_parse_from(given).unwrap_or_else(|error| panic!("{error}")).token
}

/// The claims of a token that the set beside its key verifies.
fn verified(folder: &TempDir, token: &str) -> Value {
    let set: JwkSet = serde_json::from_slice(&fs::read(folder.path().join("jwks.json")).unwrap()).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    (validation.validate_exp, validation.validate_aud) = (false, false);
    jsonwebtoken::decode(token, &key, &validation).unwrap().claims
}

#[test]
fn a_token_signed_with_a_made_key_is_verified_by_the_set_made_beside_it() {
    let folder = TempDir::new().unwrap();
    keys::generate(folder.path()).unwrap();
    for key in ["es256.pem", "rs256.pem"] {
        let key = folder.path().join(key);
        let args = args(&[
            "--key-file",
            key.to_str().unwrap(),
            "--issuer",
            "https://idp",
            "--tenant",
            "payments",
            "--tenant-claim",
            "realm.tenant",
            "--ttl",
            "1h",
            "--scope",
            "a",
            "--scope",
            "b c",
            "--claim",
            "groups=[\"x\"]",
            "--claim",
            "sub=\"other\"",
        ]);
        let claims = verified(&folder, &sign(&args, now()).unwrap());
        assert_eq!(claims["iss"], "https://idp");
        assert_eq!(claims["aud"], "logkey");
        assert_eq!(claims["realm"], json!({"tenant": "payments"}));
        assert_eq!(claims["scope"], "a b c");
        assert_eq!(claims["groups"], json!(["x"]));
        assert_eq!(claims["sub"], "other");
        assert_eq!(claims["exp"], 1_003_600);
        assert_eq!(claims["iat"], 1_000_000);
        assert_eq!(claims["nbf"], 1_000_000);
    }
}

#[test]
fn a_key_is_never_written_over() {
    let folder = TempDir::new().unwrap();
    keys::generate(folder.path()).unwrap();
    let first = fs::read(folder.path().join("es256.pem")).unwrap();
    assert!(matches!(keys::generate(folder.path()), Err(KeyError::Write(..))));
    assert_eq!(fs::read(folder.path().join("es256.pem")).unwrap(), first);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_a_made_key() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    keys::generate(folder.path()).unwrap();
    let mode = fs::metadata(folder.path().join("rs256.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_cannot_be_signed_is_said_before_anything_is_printed() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("no.pem");
    fs::write(&key, "no key").unwrap();
    let args = args(&["--key-file", key.to_str().unwrap(), "--issuer", "i", "--tenant", "t"]);
    assert!(matches!(sign(&args, now()), Err(TokenError::Key(KeyError::Unfit(_)))));
    assert!(Cli::try_parse_from(["token", "--tenant", "t"]).is_err());
    assert!(
        Cli::try_parse_from(["token", "--key-file", "k", "--issuer", "i", "--tenant", "t", "--claim", "a=b"])
            .is_err()
    );
}
