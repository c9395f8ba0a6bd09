//! Which tokens open, and that every other one is refused in the same words.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const ISSUED_AT: Timestamp = Timestamp::from_secs(1_780_000_000);

fn page_keys(fill: u8) -> Arc<PageTokens> {
    Arc::new(PageTokens::new(&[[fill; 32]]))
}

fn tokens(keys: &Arc<PageTokens>, bound: &str, now: Timestamp) -> RequestTokens {
    RequestTokens { keys: Arc::clone(keys), bound: bound.into(), now }
}

fn cursor(name: &str) -> PageCursor {
    PageCursor { aws: Some(name.into()), after: Some("/app/web".into()) }
}

fn refusal(tokens: &RequestTokens, token: &str) -> String {
    match tokens.open::<PageCursor>(token) {
        Ok(cursor) => panic!("{token} was accepted as {cursor:?}"),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn a_token_opens_only_for_its_request_and_for_a_day() {
    let keys = page_keys(1);
    let own = tokens(&keys, "List\na\n/app", ISSUED_AT);
    let token = own.seal(cursor("aws"));
    assert_eq!(own.open::<PageCursor>(&token).unwrap(), cursor("aws"));
    assert_eq!(own.open::<PageCursor>("").unwrap(), PageCursor::default());

    let at = |now| tokens(&keys, "List\na\n/app", now);
    assert!(at(ISSUED_AT.plus(LIFETIME).minus(Duration::from_secs(1))).open::<PageCursor>(&token).is_ok());
    // The clock of the replica that sealed the token was ahead.
    assert!(at(ISSUED_AT.minus(Duration::from_hours(2))).open::<PageCursor>(&token).is_ok());

    let foreign = page_keys(2);
    let expected = refusal(&own, "garbage");
    for other in [
        refusal(&tokens(&keys, "List\nb\n/app", ISSUED_AT), &token),
        refusal(&tokens(&keys, "List\na\n/", ISSUED_AT), &token),
        refusal(&tokens(&keys, "Usage\na\n/app", ISSUED_AT), &token),
        refusal(&at(ISSUED_AT.plus(LIFETIME)), &token),
        refusal(&own, &tokens(&foreign, "List\na\n/app", ISSUED_AT).seal(cursor("aws"))),
        refusal(&own, &URL_SAFE_NO_PAD.encode(br#"{"issued_at":1780000000,"cursor":{"aws":"x"}}"#)),
        refusal(&own, token.get(1..).unwrap()),
        refusal(&own, &format!("{token}AAAA")),
        refusal(&own, &"A".repeat(4096)),
    ] {
        assert_eq!(other, expected);
    }
}

#[test]
fn neither_the_text_nor_the_length_of_a_token_reveals_a_name() {
    let keys = page_keys(1);
    let tokens = tokens(&keys, "b", ISSUED_AT);
    let (short, long) = (tokens.seal(cursor("s")), tokens.seal(cursor(&"hidden".repeat(20))));
    assert_eq!(short.len(), long.len());
    let bytes = URL_SAFE_NO_PAD.decode(&*long).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("hidden"));
    assert_ne!(tokens.seal(cursor("s")), short);
}

proptest! {
    #[test]
    fn a_changed_token_does_not_open(at in 0_usize..400, bit in 0_u8..8) {
        let keys = page_keys(1);
        let tokens = tokens(&keys, "b", ISSUED_AT);
        let mut bytes = URL_SAFE_NO_PAD.decode(&*tokens.seal(cursor("aws"))).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(tokens.open::<PageCursor>(&URL_SAFE_NO_PAD.encode(&bytes)).is_err());
    }
}
