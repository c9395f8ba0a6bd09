//! Wildcards as policies have them: `*` for any characters, `?` for one.

/// Whether the whole of `text` fits `pattern`. Takes time in proportion to the two lengths at worst.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and how far into the text it reaches so far.
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

/// Whether `text` fits in each of an ARN's six parts by itself; none where `pattern` has fewer.
pub(super) fn arn_fits(pattern: &str, text: &str) -> Option<bool> {
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    if parts.len() < 6 {
        return None;
    }
    let mut given = text.splitn(6, ':');
    Some(parts.into_iter().all(|part| given.next().is_some_and(|given| fits(part, given))))
}
