//! Finds the name that somebody probably meant.

/// The name that is most similar, if at most a third of its letters differ. Case is ignored.
#[must_use]
pub fn nearest<'n>(text: &str, names: &[&'n str]) -> Option<&'n str> {
    let text = text.to_ascii_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&text, &name.to_ascii_lowercase());
    let best = names.iter().copied().min_by_key(|name| distance(name))?;
    (distance(best) <= (best.len() / 3).max(1)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_name_is_found_and_another_word_is_not() {
        let names = ["AssociateKmsKey", "GetCaller", "OK"];
        assert_eq!(nearest("AsociateKmsKey", &names), Some("AssociateKmsKey"));
        assert_eq!(nearest("getcaller", &names), Some("GetCaller"));
        assert_eq!(nearest("Backup", &names), None);
        assert_eq!(nearest("", &[]), None);
    }
}
