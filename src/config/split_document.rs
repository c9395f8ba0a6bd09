//! Finds where a document of many `[[tenants]]` can be cut without changing its meaning. `reader` parses the
//! parts separately.

use std::{iter, ops::Range, thread};

use memchr::memmem;

/// The minimum length of a part in bytes, except the last one. Parsing it takes a fraction of a millisecond,
/// which is how long a call may have to wait for it.
const MIN_CHUNK: usize = 2 * 1024;
/// How many bytes one search step covers.
const SEARCH_CHUNK: usize = 64 * 1024;
/// A part may begin where a line begins with this.
const HEADER: &str = "[[tenants]]";

/// The parts, in order. A short document is one part, and so is one that cannot safely be cut. A line that
/// begins with [`HEADER`] begins a tenant unless it is inside a multi-line string. Only blank lines and
/// comments may come before the first one.
pub(super) fn chunk_ranges(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut headers = header_offsets(text);
    let first = headers.next().unwrap_or_default();
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let can_cut = text.get(..first).is_some_and(|before| before.lines().all(is_blank))
        && !["\"\"\"", "'''"].iter().any(|quotes| contains_quotes(text, quotes));
    let mut next = Some(0);
    iter::from_fn(move || {
        let begin = next?;
        next = headers.find(|header| can_cut && header - begin >= MIN_CHUNK);
        Some(begin..next.unwrap_or(text.len()))
    })
}

/// Whether the text contains these quotes. It searches in steps and yields between them.
fn contains_quotes(text: &str, quotes: &str) -> bool {
    (0..text.len()).step_by(SEARCH_CHUNK).any(|begin| {
        thread::yield_now();
        let end = text.len().min(begin + SEARCH_CHUNK + quotes.len() - 1);
        text.as_bytes().get(begin..end).is_some_and(|chunk| memmem::find(chunk, quotes.as_bytes()).is_some())
    })
}

fn header_offsets(text: &str) -> impl Iterator<Item = usize> {
    let at_line_start = |at: &usize| *at == 0 || text.as_bytes().get(at - 1) == Some(&b'\n');
    memmem::find_iter(text.as_bytes(), HEADER).filter(at_line_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(count: usize) -> String {
        let tenant = |n| format!("[[tenants]]\nid = \"team-{n}\"\n[tenants.limits]\nburst = {n}\n");
        (0..count).map(tenant).collect()
    }

    #[test]
    fn the_parts_join_to_the_document_and_each_begins_with_a_tenant() {
        let text = format!("# Ours.\n\n{}", tenants(10_000));
        let parts: Vec<&str> = chunk_ranges(&text).map(|part| text.get(part).unwrap()).collect();
        assert!(parts.len() > 3, "{}", parts.len());
        assert_eq!(parts.concat(), text);
        assert!(parts.iter().skip(1).all(|part| part.starts_with(HEADER)));
        assert!(parts.iter().all(|part| part.len() < MIN_CHUNK + 200));
    }

    #[test]
    fn quotes_across_two_search_steps_are_found() {
        for before in
            [0, SEARCH_CHUNK - 3, SEARCH_CHUNK - 2, SEARCH_CHUNK - 1, SEARCH_CHUNK, 3 * SEARCH_CHUNK - 1]
        {
            let quotes = "'".repeat(3);
            assert!(contains_quotes(&format!("{}{quotes}", "a".repeat(before)), &quotes), "{before}");
            assert!(!contains_quotes(&format!("{}''a'", "a".repeat(before)), &quotes), "{before}");
        }
    }

    #[test]
    fn a_document_is_not_cut_if_that_would_change_its_meaning() {
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
