//! Prints the demo: each step with what was asked, what was answered, and how long it took. No line is longer
//! than 80 columns.

use std::time::Duration;

use anstream::println;
use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};

use super::{took::Took, world::DemoEnvironment};

const TITLE: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
/// The longest line.
const WIDTH: u16 = 80;
/// The columns before a line of a step.
const INDENT: u16 = 4;

/// Prints the steps and counts them.
#[derive(Debug, Default)]
pub(super) struct Printer {
    steps: usize,
    failed: usize,
}

/// One step and its result.
#[derive(Debug)]
pub(super) struct Step {
    /// What the step demonstrates.
    pub(super) title: &'static str,
    /// What was asked, in short.
    pub(super) request: String,
    /// What was answered, in short.
    pub(super) response: String,
    /// How long it took.
    pub(super) took: Took,
    /// Why the response is not as expected; `None` if it is.
    pub(super) mismatch: Option<String>,
}

// === impl Printer ===

impl Printer {
    pub(super) fn opening(demo: &DemoEnvironment) {
        println!("{TITLE}logkey demo{TITLE:#}: a service, an embedded AWS and three tenants on this machine");
        println!("{}", columns(&[("AWS", &demo.aws()), ("service", &demo.address().to_string())], 2));
        println!("{}", columns(&[("settings", &demo.settings().display().to_string())], 2));
    }

    pub(super) fn chapter(title: &str) {
        println!("\n{TITLE}{title}{TITLE:#}\n");
    }

    pub(super) fn step(&mut self, step: &Step) {
        let Step { title, request, response, took, mismatch } = step;
        self.steps += 1;
        let (style, mark) = if mismatch.is_none() { (GOOD, "✓") } else { (BAD, "✗") };
        let number = self.steps;
        println!("{style}{mark}{style:#} {number:>2}. {TITLE}{title}{TITLE:#}");
        println!(
            "{}",
            columns(&[("asked", request), ("answered", response), ("took", &took.to_string())], INDENT)
        );
        if let Some(mismatch) = mismatch {
            self.failed += 1;
            println!("{BAD}{}{BAD:#}", columns(&[("expected", mismatch)], INDENT));
        }
    }

    /// Prints how many steps answered as expected. Returns whether all did.
    pub(super) fn closing(&self, took: Duration) -> bool {
        let Self { steps, failed } = self;
        let style = if *failed == 0 { GOOD } else { BAD };
        println!(
            "\n{style}{} of {steps} steps answered as expected{style:#} in {:.0} s",
            steps - failed,
            took.as_secs_f64()
        );
        *failed == 0
    }

    /// Says how to call the service, which keeps running. The token is live, so nobody else should see it.
    pub(super) fn by_hand(demo: &DemoEnvironment, token: &str) {
        println!("\n{TITLE}Try it by hand{TITLE:#} in another terminal; press Ctrl-C here to stop:\n");
        println!("export LOGKEY_TOKEN={token}");
        println!("logkey whoami --server http://{}", demo.address());
        println!("curl http://{}/metrics", demo.admin());
    }
}

/// Texts behind their names, broken so that they fit. Line breaks in them are kept.
fn columns(rows: &[(&str, &str)], indent: u16) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(WIDTH - indent).set_header(["        ", ""]);
    for (name, text) in rows.iter().filter(|(_, text)| !text.is_empty()) {
        table.add_row([*name, *text]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    let indent = " ".repeat(indent.into());
    let lines = table.lines().skip(1).map(|line| format!("{indent}{}", line.trim_end()));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_and_sentences_fit_the_terminal() {
        let arn = format!("arn:aws:kms:eu-west-1:111122223333:key/{}", "1111aaaa-".repeat(10));
        let text = columns(
            &[("asked", &arn), ("answered", &"a word ".repeat(40)), ("", "{\n  \"a\": 1\n}")],
            INDENT,
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("    answered a word a word"), "{text}");
        assert!(text.contains("\n               \"a\": 1"), "{text}");
    }
}
