use std::fs;

use clap::Parser;
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{keys::KeyError, *};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    token: TokenArgs,
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_000_000)
}

fn args(words: &[&str]) -> TokenArgs {
    let line = ["token"].into_iter().chain(words.iter().copied());
    Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).token
}

/// Verifies a token with the key set in the folder of its key; returns the claims.
fn verify(folder: &TempDir, token: &str) -> Value {
    let set: JwkSet = serde_json::from_slice(&fs::read(folder.path().join("jwks.json")).unwrap()).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    (validation.validate_exp, validation.validate_aud) = (false, false);
    jsonwebtoken::decode(token, &key, &validation).unwrap().claims
}

#[test]
fn the_created_key_set_verifies_tokens_of_the_created_keys() {
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
        let claims = verify(&folder, &sign(&args, now()).unwrap());
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
fn an_existing_key_is_never_overwritten() {
    let folder = TempDir::new().unwrap();
    keys::generate(folder.path()).unwrap();
    let first = fs::read(folder.path().join("es256.pem")).unwrap();
    assert!(matches!(keys::generate(folder.path()), Err(KeyError::Write(..))));
    assert_eq!(fs::read(folder.path().join("es256.pem")).unwrap(), first);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_a_private_key_and_everyone_the_key_set() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    keys::generate(folder.path()).unwrap();
    let mode = |name| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("rs256.pem"), mode("es256.pem"), mode("jwks.json")), (0o600, 0o600, 0o644));
}

#[test]
fn unusable_keys_and_arguments_are_rejected() {
    let folder = TempDir::new().unwrap();
    let key = folder.path().join("no.pem");
    fs::write(&key, "no key").unwrap();
    let args = args(&["--key-file", key.to_str().unwrap(), "--issuer", "i", "--tenant", "t"]);
    assert!(matches!(sign(&args, now()), Err(TokenError::Key(KeyError::Unusable(_)))));
    assert!(Cli::try_parse_from(["token", "--tenant", "t"]).is_err());
    assert!(
        Cli::try_parse_from(["token", "--key-file", "k", "--issuer", "i", "--tenant", "t", "--claim", "a=b"])
            .is_err()
    );
}
