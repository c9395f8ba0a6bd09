//! An operator's Cedar policies: they can be used, or each fault names a line that they have.

use logkey::auth::CedarPolicy;

/// Whether the input was taken.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let lines = text.split('\n').count();
    let faults = CedarPolicy::check(&[("a.cedar".to_owned(), text.to_owned())]);
    for fault in &faults {
        assert!((1..=lines).contains(&fault.line), "{fault}");
        assert!(!fault.to_string().is_empty());
    }
    faults.is_empty()
}
