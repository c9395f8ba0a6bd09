//! The `Condition` element of a statement.

use wildmatch::WildMatch;

use super::error::InvalidPolicy;

const ARN_PARTS: usize = 6;

/// One operator and condition key, with the values that satisfy it.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    operator: Operator,
    negated: bool,
    if_absent: bool,
    for_all: bool,
    key: String,
    values: Vec<ConditionValue>,
}

/// One value, compiled because many requests are evaluated.
#[derive(Clone, Debug)]
struct ConditionValue {
    text: String,
    /// One pattern for `Like`; one for each of the six parts for `Arn`; otherwise none.
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
    /// Parses an operator such as `StringEquals`, `ArnNotLikeIfExists` or `ForAnyValue:StringLike`.
    pub(super) fn read(name: &str, key: String, values: Vec<String>) -> Result<Self, InvalidPolicy> {
        let (bare, for_any) = strip(name, name.strip_prefix("ForAnyValue:"));
        let (bare, for_all) = strip(bare, bare.strip_prefix("ForAllValues:"));
        let (bare, if_exists) = strip(bare, bare.strip_suffix("IfExists"));
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
        // `ForAllValues` holds for an absent key, and `ForAnyValue` does not, even if it is negated.
        let if_absent = if_exists || for_all || (negated && !for_any);
        Ok(Self { operator, negated, if_absent, for_all, key, values })
    }

    /// The condition key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Whether the request's context satisfies the condition. In the context, a key with several values
    /// appears once for each.
    pub(super) fn holds(&self, context: &[(&str, &str)]) -> bool {
        let mut found = context.iter().filter(|(key, _)| key.eq_ignore_ascii_case(&self.key)).peekable();
        let absent = found.peek().is_none();
        if self.operator == Operator::Null {
            let absent = if absent { "true" } else { "false" };
            return self.values.iter().any(|value| value.text == absent);
        }
        if absent {
            return self.if_absent;
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

fn strip<'a>(whole: &'a str, rest: Option<&'a str>) -> (&'a str, bool) {
    (rest.unwrap_or(whole), rest.is_some())
}

// === impl ConditionValue ===

impl ConditionValue {
    fn new(operator: Operator, text: String) -> Self {
        let patterns = match operator {
            Operator::Equals | Operator::EqualsIgnoreCase | Operator::Null => Vec::new(),
            Operator::Like => vec![WildMatch::new(&text)],
            Operator::Arn => text.splitn(ARN_PARTS, ':').map(WildMatch::new).collect(),
        };
        Self { text, patterns }
    }

    /// Matches each of the six parts separately, so that a `*` matches a colon only in the last part.
    fn is_like_arn(&self, arn: &str) -> bool {
        let mut parts = arn.splitn(ARN_PARTS, ':');
        let all = self.patterns.iter().all(|pattern| parts.next().is_some_and(|part| pattern.matches(part)));
        all && parts.next().is_none()
    }
}
