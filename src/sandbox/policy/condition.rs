//! The `Condition` element.

use wildmatch::WildMatch;

use super::InvalidPolicy;

const ARN_PARTS: usize = 6;

/// One operator, one key, the values that satisfy it.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    operator: Operator,
    negated: bool,
    if_exists: bool,
    for_all: bool,
    key: String,
    values: Vec<ConditionValue>,
}

/// One value, compiled: a request is asked many times.
#[derive(Clone, Debug)]
struct ConditionValue {
    text: String,
    /// For `Like` the whole, for `Arn` each of the six parts.
    patterns: Vec<WildMatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Null,
}

// === impl Condition ===

impl Condition {
    /// Reads `StringEquals`, `ArnNotLikeIfExists`, `ForAnyValue:StringLike` and so on.
    pub(super) fn read(name: &str, key: String, values: Vec<String>) -> Result<Self, InvalidPolicy> {
        let bare = name.strip_prefix("ForAnyValue:").unwrap_or(name);
        // All values of a key that is absent fit.
        let (bare, for_all) = stripped(bare, bare.strip_prefix("ForAllValues:"));
        let (bare, if_exists) = stripped(bare, bare.strip_suffix("IfExists"));
        let if_exists = if_exists || for_all;
        let (operator, negated) = match bare {
            "StringEquals" => (Operator::Equals, false),
            "StringNotEquals" => (Operator::Equals, true),
            "StringEqualsIgnoreCase" | "Bool" => (Operator::EqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Operator::EqualsIgnoreCase, true),
            "StringLike" => (Operator::Like, false),
            "StringNotLike" => (Operator::Like, true),
            "ArnEquals" | "ArnLike" => (Operator::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Operator::Arn, true),
            "Null" => (Operator::Null, false),
            _ => return Err(InvalidPolicy::Operator(name.to_owned())),
        };
        let values = values.into_iter().map(|text| ConditionValue::new(operator, text)).collect();
        Ok(Self { operator, negated, if_exists, for_all, key, values })
    }

    /// The condition key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Whether the request's context satisfies it; a key with several values stands there several
    /// times. A key that is absent satisfies only what is negated, `…IfExists`, or `Null: true`.
    pub(super) fn holds(&self, context: &[(&str, &str)]) -> bool {
        let mut found = context.iter().filter(|(key, _)| key.eq_ignore_ascii_case(&self.key)).peekable();
        let absent = found.peek().is_none();
        if self.operator == Operator::Null {
            let absent = if absent { "true" } else { "false" };
            return self.values.iter().any(|value| value.text == absent);
        }
        if absent {
            return self.if_exists || self.negated;
        }
        let mut matched = found
            .map(|(_, actual)| self.values.iter().any(|value| self.matches(value, actual)) != self.negated);
        if self.for_all { matched.all(|one| one) } else { matched.any(|one| one) }
    }

    fn matches(&self, expected: &ConditionValue, actual: &str) -> bool {
        match self.operator {
            Operator::Equals | Operator::Null => expected.text == actual,
            Operator::EqualsIgnoreCase => expected.text.eq_ignore_ascii_case(actual),
            Operator::Like => expected.patterns.iter().all(|pattern| pattern.matches(actual)),
            Operator::Arn => expected.is_like_arn(actual),
        }
    }
}

fn stripped<'a>(whole: &'a str, rest: Option<&'a str>) -> (&'a str, bool) {
    (rest.unwrap_or(whole), rest.is_some())
}

// === impl Wanted ===

impl ConditionValue {
    fn new(operator: Operator, text: String) -> Self {
        let patterns = match operator {
            Operator::Equals | Operator::EqualsIgnoreCase | Operator::Null => Vec::new(),
            Operator::Like => vec![WildMatch::new(&text)],
            Operator::Arn => text.splitn(ARN_PARTS, ':').map(WildMatch::new).collect(),
        };
        Self { text, patterns }
    }

    /// Each of the six parts is matched by itself, so that a `*` never reaches across a colon
    /// except in the last one.
    fn is_like_arn(&self, arn: &str) -> bool {
        let mut parts = arn.splitn(ARN_PARTS, ':');
        let all = self.patterns.iter().all(|pattern| parts.next().is_some_and(|part| pattern.matches(part)));
        all && parts.next().is_none()
    }
}
