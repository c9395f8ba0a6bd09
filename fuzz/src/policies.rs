//! An operator's Cedar policies: they are valid, or each diagnostic names a line that exists.

use logkey::auth::CedarPolicy;

/// Returns whether the input was accepted.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let lines = text.split('\n').count();
    let diagnostics = CedarPolicy::check(&[("a.cedar".to_owned(), text.to_owned())]);
    for diagnostic in &diagnostics {
        assert!((1..=lines).contains(&diagnostic.line), "{diagnostic}");
        assert!(!diagnostic.to_string().is_empty());
    }
    diagnostics.is_empty()
}
