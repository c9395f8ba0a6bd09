//! Parses JSON objects without duplicate members, at any depth.
//!
//! `serde_json` keeps the last of two equal members, other parsers keep the first. An attacker could use a
//! token that two parsers read differently (RFC 8725, section 2.6; RFC 7519, section 4).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// The members of an object.
pub(super) type Members = Map<String, Value>;

/// Parses an object. None if it is not an object or has a duplicate member.
pub(super) fn object(json: &[u8]) -> Option<Members> {
    match serde_json::from_slice(json) {
        Ok(UniqueMembers(Value::Object(members))) => Some(members),
        Ok(_) | Err(_) => None,
    }
}

/// A value whose objects have no duplicate members.
struct UniqueMembers(Value);

struct Reader;

// === impl UniqueMembers ===

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

// === impl Reader ===

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(UniqueMembers(value)) = seq.next_element()? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Members::new();
        while let Some((name, UniqueMembers(value))) = map.next_entry::<String, _>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_members_are_rejected_at_any_depth_and_in_any_spelling() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
        ] {
            assert!(object(json.as_bytes()).is_none(), "{json}");
        }
    }

    #[test]
    fn an_object_keeps_its_values_and_other_input_is_rejected() {
        let json = r#"{"t":"x","n":-1,"f":1.5,"b":true,"z":null,"l":["a",{"k":2}]}"#;
        let plain: Value = serde_json::from_str(json).unwrap();
        assert_eq!(Value::Object(object(json.as_bytes()).unwrap()), plain);
        for json in ["", "[]", "\"a\"", "1", "null", "{} {}", "{\"a\":1} x", "\u{feff}{}", "{\"a\":1e999}"] {
            assert!(object(json.as_bytes()).is_none(), "{json}");
        }
        assert!(object(b"{\"\xff\":1}").is_none());
        assert!(object(&[b"{\"a\":".repeat(500), b"1".to_vec(), b"}".repeat(500)].concat()).is_none());
    }
}
