//! Where a document of many `[[tenants]]` can be cut, so that each part means by itself what it means in
//! the whole.

use std::{iter, ops::Range, thread};

use memchr::memmem;

/// Length that a part has at least, in bytes, unless it is the last: read in a fraction of a millisecond, as
/// long as a call may have to wait for it.
const MIN_CHUNK: usize = 2 * 1024;
/// How much is looked through at once.
const AT_ONCE: usize = 64 * 1024;
/// Where a part may begin: at the head of a line.
const HEAD: &str = "[[tenants]]";

/// The parts, in order; one where the document is short or cannot be cut for sure. A line that begins
/// with [`HEAD`] begins a tenant unless it stands in a text of several lines, and before the first one
/// there must be nothing that could mean anything.
pub(super) fn chunk_ranges(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut heads = header_offsets(text);
    let first = heads.next().unwrap_or_default();
    let means_nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let cut = text.get(..first).is_some_and(|before| before.lines().all(means_nothing))
        && !["\"\"\"", "'''"].iter().any(|quotes| contains_quotes(text, quotes));
    let mut next = Some(0);
    iter::from_fn(move || {
        let begin = next?;
        next = heads.find(|head| cut && head - begin >= MIN_CHUNK);
        Some(begin..next.unwrap_or(text.len()))
    })
}

/// Whether the text holds some quotes, looked for bit by bit.
fn contains_quotes(text: &str, quotes: &str) -> bool {
    (0..text.len()).step_by(AT_ONCE).any(|begin| {
        thread::yield_now();
        let end = text.len().min(begin + AT_ONCE + quotes.len() - 1);
        text.as_bytes().get(begin..end).is_some_and(|bit| memmem::find(bit, quotes.as_bytes()).is_some())
    })
}

fn header_offsets(text: &str) -> impl Iterator<Item = usize> {
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
        let parts: Vec<&str> = chunk_ranges(&text).map(|part| text.get(part).unwrap()).collect();
        assert!(parts.len() > 3, "{}", parts.len());
        assert_eq!(parts.concat(), text);
        assert!(parts.iter().skip(1).all(|part| part.starts_with(HEAD)));
        assert!(parts.iter().all(|part| part.len() < MIN_CHUNK + 200));
    }

    #[test]
    fn quotes_are_found_wherever_they_stand() {
        for before in [0, AT_ONCE - 3, AT_ONCE - 2, AT_ONCE - 1, AT_ONCE, 3 * AT_ONCE - 1] {
            let quotes = "'".repeat(3);
            assert!(contains_quotes(&format!("{}{quotes}", "a".repeat(before)), &quotes), "{before}");
            assert!(!contains_quotes(&format!("{}''a'", "a".repeat(before)), &quotes), "{before}");
        }
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
            let parts: Vec<_> = chunk_ranges(&text).collect();
            assert_eq!((parts.len(), parts.first()), (1, Some(&(0..text.len()))));
        }
    }
}
