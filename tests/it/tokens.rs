//! Attacks on tokens, against the real server: each is refused in the same words, and nothing reaches
//! AWS. What exactly is wrong is in the audit log alone.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{ALL, Caller, GROUP, ISSUER, Plan, Service, key, reason};

/// Signs whatever it is told to, with keys that the service knows.
struct Forge {
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn with(mut base: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        let members = base.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    base
}

impl Forge {
    fn new() -> Self {
        Self {
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
        }
    }

    fn jwks(&self) -> Value {
        let jwk = |key: &EcdsaKeyPair, kid: &str, crv: &str| {
            let (_, point) = key.public_key().as_ref().split_first().unwrap();
            let (x, y) = point.split_at(point.len() / 2);
            json!({"kty": "EC", "crv": crv, "kid": kid, "x": b64(x), "y": b64(y)})
        };
        json!({"keys": [jwk(&self.p256, "p256", "P-256"), jwk(&self.p384, "p384", "P-384")]})
    }

    fn header(more: &Value) -> String {
        with(json!({"alg": "ES256", "kid": "p256", "typ": "JWT"}), more).to_string()
    }

    fn claims(more: &Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        let good = json!({
            "iss": ISSUER, "aud": "logkey", "sub": "mallory", "iat": now, "nbf": now, "exp": now + 600,
            "tenant": "payments", "scope": ALL, "jti": uuid::Uuid::new_v4().to_string(),
        });
        with(good, more).to_string()
    }

    fn signed(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", b64(header), b64(claims));
        let signature = self.p256.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", b64(signature))
    }

    #[expect(clippy::needless_pass_by_value, reason = "json! is written in place")]
    fn token(&self, header: Value, claims: Value) -> String {
        self.signed(&Self::header(&header), &Self::claims(&claims))
    }
}

async fn service(forge: &Forge, settings: &str) -> Service {
    let plan = Plan::default().settings(settings).jwks(&forge.jwks().to_string());
    let service = Box::pin(plan.start()).await;
    let good = Caller::new(service.channel(), &forge.token(json!({}), json!({})));
    good.who_am_i().await.unwrap();
    service
}

/// Each is refused in the same words as every other, AWS hears nothing, and the log knows why: of the
/// first ones each, of the rest how many there were.
async fn refused(service: Service, attacks: Vec<(&str, String)>) {
    for (why, token) in &attacks {
        let caller = Caller::new(service.channel(), token);
        let status = caller.associate(GROUP, &key("good")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{why}: {status:?}");
        assert_eq!(reason(&status), "TOKEN_INVALID", "{why}");
        assert_eq!(status.message(), "the token was not accepted", "{why}");
    }
    assert!(service.reached("AssociateKmsKey").is_empty());
    let service = Box::pin(service.restart()).await;
    let events = service.events().await;
    let told: Vec<_> = events.iter().filter(|e| e.outcome.as_deref() == Some("TOKEN_INVALID")).collect();
    assert_eq!(told.iter().map(|event| event.count as usize).sum::<usize>(), attacks.len());
    for (event, (why, _)) in told.iter().zip(&attacks).take(3) {
        assert_eq!(event.detail.as_deref(), Some(*why));
        assert!(event.subject.is_none() && event.tenant.is_none(), "nothing of it was proved");
    }
    service.stop().await;
}

#[tokio::test]
async fn tokens_without_a_signature_or_with_a_shared_secret_are_refused() {
    let forge = Forge::new();
    let service = service(&forge, "").await;
    let unsigned = |alg: &str| {
        format!("{}.{}.", b64(Forge::header(&json!({"alg": alg}))), b64(Forge::claims(&json!({}))))
    };
    let public = forge.jwks().pointer("/keys/0").unwrap().to_string();
    let message =
        format!("{}.{}", b64(Forge::header(&json!({"alg": "HS256"}))), b64(Forge::claims(&json!({}))));
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let tag = b64(aws_lc_rs::hmac::sign(&secret, message.as_bytes()));
    let attacks = vec![
        ("algorithm unknown", unsigned("none")),
        ("algorithm unknown", unsigned("nOnE")),
        ("algorithm unknown", format!("{message}.{tag}")),
    ];
    refused(service, attacks).await;
}

#[tokio::test]
async fn headers_that_bring_their_own_key_extensions_or_encryption_are_refused() {
    let forge = Forge::new();
    let service = service(&forge, "").await;
    let own = forge.jwks().pointer("/keys/0").unwrap().clone();
    let header = |more| forge.token(more, json!({}));
    let five = format!("{}.a.b.c", header(json!({})).rsplit_once('.').unwrap().0);
    let attacks = vec![
        ("header brings its own key", header(json!({"jwk": own}))),
        ("header brings its own key", header(json!({"jku": "http://127.0.0.1:1/"}))),
        ("header brings its own key", header(json!({"x5u": "http://127.0.0.1:1/"}))),
        ("header brings its own key", header(json!({"x5c": ["MIIB"]}))),
        ("header has crit", header(json!({"crit": []}))),
        ("header has crit", header(json!({"crit": ["exp"]}))),
        (
            "header asks for compression, encryption, nesting or an unencoded payload",
            header(json!({"b64": false})),
        ),
        ("encrypted", five),
        ("typ is not that of an access token", header(json!({"typ": "logout+jwt"}))),
        ("header malformed", forge.signed("{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"p256\"}", "{}")),
    ];
    refused(service, attacks).await;
}

#[tokio::test]
async fn signatures_of_zeros_by_other_keys_and_for_other_algorithms_are_refused() {
    let forge = Forge::new();
    let service = service(&forge, "").await;
    let good = forge.token(json!({}), json!({}));
    let (message, _) = good.rsplit_once('.').unwrap();
    let other = Forge::new().token(json!({}), json!({}));
    let attacks = vec![
        ("signature does not verify", format!("{message}.{}", b64([0; 64]))),
        ("signature does not verify", format!("{message}.")),
        ("signature does not verify", other),
        ("key unknown", forge.token(json!({"kid": "p384"}), json!({}))),
        ("key unknown", forge.token(json!({"kid": "other"}), json!({}))),
        (
            "algorithm not allowed for the issuer",
            forge.token(json!({"alg": "ES384", "kid": "p384"}), json!({})),
        ),
    ];
    refused(service, attacks).await;
}

#[tokio::test]
async fn claims_that_are_missing_mistyped_doubled_or_for_others_are_refused() {
    let forge = Forge::new();
    let service = service(&forge, "").await;
    let claims = |more| forge.token(json!({}), more);
    let doubled = Forge::claims(&json!({})).replacen('{', "{\"tenant\":\"orders\",", 1);
    let mut attacks = vec![
        ("claims malformed", forge.signed(&Forge::header(&json!({})), &doubled)),
        ("iss missing or not a text", claims(json!({"iss": [ISSUER]}))),
        ("issuer unknown", claims(json!({"iss": "https://evil.test"}))),
        ("aud missing or malformed", claims(json!({"aud": ["logkey", 1]}))),
        ("meant for another audience", claims(json!({"aud": "other"}))),
        ("not valid yet", claims(json!({"nbf": 4_000_000_000_u64}))),
        ("issued in the future", claims(json!({"iat": 4_000_000_000_u64}))),
        ("no tenant for the tenant claim", claims(json!({"tenant": "nobody"}))),
        ("tenant claim missing or malformed", claims(json!({"tenant": ["payments"]}))),
        ("scope claim malformed", claims(json!({"scope": {"a": 1}}))),
        ("an identity or logout token", claims(json!({"at_hash": "x"}))),
        ("bound in a way that is not supported", claims(json!({"cnf": {"jkt": "x"}}))),
        ("bound to another certificate", claims(json!({"cnf": {"x5t#S256": b64([7; 32])}}))),
    ];
    for (name, why) in [
        ("iss", "iss missing or not a text"),
        ("aud", "aud missing or malformed"),
        ("sub", "sub missing or malformed"),
        ("exp", "exp missing or malformed"),
        ("nbf", "nbf missing or malformed"),
    ] {
        attacks.push((why, claims(json!({name: null}))));
        attacks.push((why, claims(json!({name: {"a": 1}}))));
    }
    refused(service, attacks).await;
}

#[tokio::test]
async fn a_token_over_its_limit_is_refused_unread() {
    let forge = Forge::new();
    let service = service(&forge, "[auth]\nmax_token_bytes = 2048\n").await;
    let long = forge.token(json!({}), json!({"x": "y".repeat(2048)}));
    refused(service, vec![("too long", long)]).await;
}

#[tokio::test]
async fn an_expired_token_is_told_apart_and_nothing_more_is_said() {
    let forge = Forge::new();
    let service = service(&forge, "").await;
    let caller = Caller::new(service.channel(), &forge.token(json!({}), json!({"exp": 1, "nbf": 0})));
    let status = caller.who_am_i().await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unauthenticated, "TOKEN_EXPIRED".into()));
    service.stop().await;
}

#[tokio::test]
async fn a_key_that_its_issuer_removed_stops_within_one_refresh() {
    let forge = Forge::new();
    let service = service(&forge, "").await;
    let caller = Caller::new(service.channel(), &forge.token(json!({}), json!({})));
    caller.who_am_i().await.unwrap();
    std::fs::write(service.settings().with_file_name("jwks.json"), Forge::new().jwks().to_string()).unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Err(status) = caller.who_am_i().await {
                return reason(&status);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(stopped.await.unwrap(), "TOKEN_INVALID");
    service.stop().await;
}
