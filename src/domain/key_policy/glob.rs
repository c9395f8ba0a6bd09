//! Wildcards of IAM policies: `*` for any number of characters, `?` for one.

/// Whether the whole of `text` matches `pattern`, in time proportional to the product of their lengths at
/// most.
pub(super) fn glob_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The position of the last `*` in the pattern, and the end of what it matches in the text so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(sign) if *sign == '?' || sign == c => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, reach)) = star else { return false };
                star = Some((at, reach + 1));
                p = at + 1;
                t = reach + 1;
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|sign| *sign == '*'))
}

/// Whether each of the six parts of an ARN matches the same part of `pattern`. `None` if `pattern` has fewer
/// parts.
pub(super) fn arn_matches(pattern: &str, text: &str) -> Option<bool> {
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    if parts.len() < 6 {
        return None;
    }
    let mut given = text.splitn(6, ':');
    Some(parts.into_iter().all(|part| given.next().is_some_and(|given| glob_matches(part, given))))
}
