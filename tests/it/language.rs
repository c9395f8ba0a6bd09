//! The vocabulary of the sources: banned words in identifiers and in texts that users read. The list, with
//! the words to use instead, is `language/banned.tsv`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};

use crate::layering::rust_files;

/// The banned words, each with the word to use instead.
#[derive(Default)]
struct BannedWords {
    /// As any word of an identifier.
    identifiers: BTreeMap<String, String>,
    /// As the first word of an identifier.
    first: BTreeMap<String, String>,
    texts: BTreeMap<String, String>,
    /// In texts, comments and pages.
    prose: BTreeMap<String, String>,
    allowed: BTreeSet<String>,
}

impl BannedWords {
    fn read() -> Self {
        let mut banned = Self::default();
        for line in include_str!("language/banned.tsv").lines().filter(|line| !line.starts_with('#')) {
            let [kind, word, instead] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let (word, instead) = (word.to_owned(), instead.to_owned());
            let known = match kind {
                "identifier" => banned.identifiers.insert(word, instead).is_some(),
                "first" => banned.first.insert(word, instead).is_some(),
                "text" => banned.texts.insert(word, instead).is_some(),
                "prose" => banned.prose.insert(word, instead).is_some(),
                "allowed" => !banned.allowed.insert(word),
                _ => panic!("{line}"),
            };
            assert!(!known, "twice in the list: {line}");
        }
        banned
    }

    fn check_identifier(&self, name: &str) -> Option<String> {
        if self.allowed.contains(name) {
            return None;
        }
        let words = words(name);
        let first = words.first().and_then(|word| self.first.get_key_value(word));
        let found = first.or_else(|| words.iter().find_map(|word| self.identifiers.get_key_value(word)));
        found.map(|(word, instead)| format!("identifier {name}: {word} is banned; use {instead}"))
    }

    fn check_text(&self, text: &str) -> Option<String> {
        if self.allowed.contains(text.trim_matches('"')) {
            return None;
        }
        find_phrase(&self.texts, text).or_else(|| find_phrase(&self.prose, text))
    }

    fn check(&self, tokens: TokenStream, texts: bool, found: &mut BTreeSet<String>) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => self.check(group.stream(), texts, found),
                TokenTree::Ident(ident) => found.extend(self.check_identifier(&ident.to_string())),
                TokenTree::Literal(literal) if texts => found.extend(self.check_text(&literal.to_string())),
                // A doc comment is an attribute: comments are not checked here.
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    tokens.next_if(|next| matches!(next, TokenTree::Punct(bang) if bang.as_char() == '!'));
                    if let Some(TokenTree::Group(group)) = tokens.peek() {
                        let doc = group.stream().into_iter().next();
                        let is_doc = matches!(doc, Some(TokenTree::Ident(name)) if name == "doc");
                        if is_doc {
                            tokens.next();
                        }
                    }
                }
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

/// The problem of the first phrase that a text contains.
fn find_phrase(phrases: &BTreeMap<String, String>, text: &str) -> Option<String> {
    let plain: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let plain = format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase());
    let found = phrases.iter().find(|(phrase, _)| plain.contains(&format!(" {phrase} ")));
    found.map(|(phrase, instead)| format!("text {text}: \"{phrase}\" is banned; write {instead}"))
}

/// The files under a folder with one of these extensions, without what the tests install.
fn files_with(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules", "corpus"].contains(&name.as_str()) {
                files.extend(files_with(&path, extensions));
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|it| extension == *it)) {
            files.push(path);
        }
    }
    files
}

/// The words of an identifier in snake case, camel case or capitals.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = '_';
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && !previous.is_uppercase()) {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
        previous = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_test(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs")
}

#[test]
fn identifiers_and_user_texts_use_the_standard_terms() {
    let (root, banned) = (Path::new(env!("CARGO_MANIFEST_DIR")), BannedWords::read());
    let folders = ["src", "crates", "tests", "benches", "examples", "fuzz/src"].map(|name| root.join(name));
    let files: Vec<PathBuf> =
        folders.iter().filter(|folder| folder.is_dir()).flat_map(|folder| rust_files(folder)).collect();
    assert!(files.len() > 400, "the sources are read");
    let mut problems = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root).unwrap();
        let texts = !is_test(name) && (name.starts_with("src") || name.starts_with("crates"));
        let mut found = BTreeSet::new();
        banned.check(source.parse().unwrap(), texts, &mut found);
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", name.display())));
    }
    assert!(problems.is_empty(), "{} banned words:\n{}", problems.len(), problems.join("\n"));
}

/// Also across line breaks: the lines of a page, or of the comments of a source, are one text.
fn prose(file: &Path, text: &str) -> String {
    let is_page = file.extension().is_some_and(|extension| extension == "md");
    let comment = |line: &str| line.trim_start().strip_prefix("//").map(str::to_owned);
    let lines = text.lines().filter_map(|line| if is_page { Some(line.to_owned()) } else { comment(line) });
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn pages_and_comments_use_no_banned_phrase() {
    let (root, banned) = (Path::new(env!("CARGO_MANIFEST_DIR")), BannedWords::read());
    let files = files_with(root, &["md", "proto", "rs"]);
    assert!(files.len() > 600, "the sources are read");
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("it/language.rs")) {
        let prose = prose(file, &fs::read_to_string(file).unwrap());
        for sentence in prose.split(". ") {
            problems
                .extend(find_phrase(&banned.prose, sentence).map(|it| format!("{}: {it}", file.display())));
        }
    }
    assert!(problems.is_empty(), "{} banned phrases:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn a_banned_phrase_is_found_across_a_line_break() {
    let banned = BannedWords::read();
    for (name, text) in
        [("page.md", "It has a file of\nits own."), ("a.rs", "    /// A file of\n    /// its own.")]
    {
        assert!(find_phrase(&banned.prose, &prose(Path::new(name), text)).is_some(), "{name}");
    }
}

#[test]
fn a_banned_word_is_found_in_every_spelling() {
    let banned = BannedWords::read();
    let mut found = BTreeSet::new();
    let source = r#"
        /// Whoever reads this: comments are not checked.
        #[error("it leaves the hub away")]
        fn sighting_of(lane: LaneState) { let MOST_LANES = "told by whoever asks"; }
    "#;
    banned.check(source.parse().unwrap(), true, &mut found);
    assert_eq!(found.len(), 6, "{found:#?}");
    let mut clean = BTreeSet::new();
    banned.check("fn settle_time() { Settling }".parse().unwrap(), true, &mut clean);
    assert_eq!(clean, BTreeSet::new(), "names of the gRPC contract are allowed");
}
