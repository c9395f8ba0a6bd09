//! Where a document of many `[[tenants]]` can be cut, so that each part means by itself what it means in
//! the whole.

use std::ops::Range;

use memchr::memmem;

/// Length that a part has at least, in bytes, unless it is the last: read in a fraction of a millisecond, as
/// long as a call may have to wait for it.
const PART: usize = 2 * 1024;
/// Where a part may begin: at the head of a line.
const HEAD: &str = "[[tenants]]";

/// The parts, in order; one where the document is short or cannot be cut for sure. A line that begins
/// with [`HEAD`] begins a tenant unless it stands in a text of several lines, and before the first one
/// there must be nothing that could mean anything.
pub(super) fn split(text: &str) -> Vec<Range<usize>> {
    let mut heads = heads(text);
    let first = heads.next().unwrap_or_default();
    let means_nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let mut parts = Vec::new();
    let mut begin = 0;
    if text.get(..first).is_some_and(|before| before.lines().all(means_nothing))
        && !["\"\"\"", "'''"].iter().any(|quotes| memmem::find(text.as_bytes(), quotes.as_bytes()).is_some())
    {
        for head in heads {
            if head - begin >= PART {
                parts.push(begin..head);
                begin = head;
            }
        }
    }
    parts.push(begin..text.len());
    parts
}

fn heads(text: &str) -> impl Iterator<Item = usize> {
    let at_head = |at: &usize| *at == 0 || text.as_bytes().get(at - 1) == Some(&b'\n');
    memmem::find_iter(text.as_bytes(), HEAD).filter(at_head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(count: usize) -> String {
        let tenant = |n| format!("[[tenants]]\nid = \"team-{n}\"\n[tenants.limits]\nburst = {n}\n");
        (0..count).map(tenant).collect()
    }

    #[test]
    fn the_parts_are_the_whole_and_each_begins_with_a_tenant() {
        let text = format!("# Ours.\n\n{}", tenants(10_000));
        let parts: Vec<&str> = split(&text).into_iter().map(|part| text.get(part).unwrap()).collect();
        assert!(parts.len() > 3, "{}", parts.len());
        assert_eq!(parts.concat(), text);
        assert!(parts.iter().skip(1).all(|part| part.starts_with(HEAD)));
        assert!(parts.iter().all(|part| part.len() < PART + 200));
    }

    #[test]
    fn what_means_something_else_in_the_whole_is_not_cut() {
        let many = tenants(10_000);
        for text in [
            format!("id = \"one\"\n{many}"),
            format!("{many}[[tenants]]\nid = \"\"\"\n[[tenants]]\n\"\"\"\n"),
            format!("{many}[[tenants]]\nid = '''\n[[tenants]]\n'''\n"),
            many.replace("[[tenants]]", " [[tenants]]"),
            String::new(),
        ] {
            let parts = split(&text);
            assert_eq!((parts.len(), parts.first()), (1, Some(&(0..text.len()))));
        }
    }
}
