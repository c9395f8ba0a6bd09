//! The rows: which server is compared with which, in what order, and the results.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::{
    Outcome,
    issuer::Tokens,
    load::{CALLERS, Sample},
    method::Rpc,
    server::{Cores, Server},
};

/// The number of A-B-B-A rounds; the result is the median of their ratios.
pub(crate) const ROUNDS: usize = 5;

/// Two servers under the same load, or one server under two loads.
pub(crate) struct Row<'a> {
    pub(crate) name: &'static str,
    pub(crate) rpc: Rpc,
    pub(crate) anchor: Side<'a>,
    pub(crate) subject: Side<'a>,
}

/// A server, and the tokens of its calls.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) name: &'static str,
    pub(crate) server: &'a Server,
    pub(crate) tokens: Tokens<'a>,
}

/// The result of one window.
#[derive(Debug)]
struct Window {
    sample: Sample,
    /// Calls per second.
    throughput: f64,
    /// The server's CPU time per call, in microseconds.
    cpu: f64,
    /// The share of its core that the server used, in percent.
    busy: f64,
}

/// The median, minimum and maximum of the rounds.
#[derive(Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// The results as two tables: the ratios, and the numbers behind them.
pub(crate) struct Report<'a> {
    cores: &'a Cores,
    window: Duration,
    ratios: Table,
    numbers: Table,
    lines: Vec<String>,
}

// === impl Report ===

impl<'a> Report<'a> {
    pub(crate) fn new(cores: &'a Cores, window: Duration) -> Self {
        let mut ratios = Table::new();
        ratios.load_preset(ASCII_MARKDOWN);
        ratios.set_header(["row", "throughput", "of five", "cpu/req", "of five"]);
        let mut numbers = Table::new();
        numbers.load_preset(ASCII_MARKDOWN);
        numbers.set_header(["row", "server", "calls/s", "cpu µs", "core busy", "p50 µs", "p99 µs", "answer"]);
        Self { cores, window, ratios, numbers, lines: Vec::new() }
    }

    /// Measures a row: the figures of the subject relative to those of the anchor. Returns the calls per
    /// second of the subject.
    pub(crate) fn row(&mut self, row: &Row<'_>) -> Outcome<f64> {
        let (mut anchor, mut subject) = (Vec::new(), Vec::new());
        let (mut throughput, mut cpu) = (Vec::new(), Vec::new());
        for side in [row.anchor, row.subject] {
            self.window(row, side)?;
        }
        for _ in 0..ROUNDS {
            let [a1, b1, b2, a2] = [
                self.window(row, row.anchor)?,
                self.window(row, row.subject)?,
                self.window(row, row.subject)?,
                self.window(row, row.anchor)?,
            ];
            throughput.push((b1.throughput + b2.throughput) / (a1.throughput + a2.throughput));
            cpu.push((b1.cpu + b2.cpu) / (a1.cpu + a2.cpu));
            anchor.extend([a1, a2]);
            subject.extend([b1, b2]);
        }
        let (throughput, cpu) = (Spread::of(throughput), Spread::of(cpu));
        self.ratios.add_row([
            row.name.to_owned(),
            format!("{:.1} %", throughput.median * 100.0),
            format!("{:.1} to {:.1}", throughput.min * 100.0, throughput.max * 100.0),
            format!("{:.2}x", cpu.median),
            format!("{:.2} to {:.2}", cpu.min, cpu.max),
        ]);
        let reached = Spread::of(subject.iter().map(|window| window.throughput)).median;
        for (name, windows) in [(row.anchor.name, anchor), (row.subject.name, subject)] {
            self.numbers(row.name, name, &windows);
        }
        Ok(reached)
    }

    /// Adds a line below the tables.
    pub(crate) fn line(&mut self, line: String) {
        self.lines.push(line);
    }

    /// Prints the tables and the lines.
    pub(crate) fn print(&self) {
        println!(
            "{} cores: servers on core {}, load on core {}, AWS stand-in on core {}; {CALLERS} calls in \
             flight; windows of {:?}, A-B-B-A, median of {ROUNDS}\n\n{}\n\n{}\n\n{}",
            self.cores.count(),
            self.cores.server,
            self.cores.generator,
            self.cores.outside(),
            self.window,
            self.ratios,
            self.numbers,
            self.lines.join("\n"),
        );
    }

    fn window(&self, row: &Row<'_>, side: Side<'_>) -> Outcome<Window> {
        let Side { server, tokens, .. } = side;
        let before = server.cpu_seconds()?;
        let sample = server.load(&self.cores.generator, row.rpc, self.window, tokens, None)?;
        let cpu = server.cpu_seconds()? - before;
        let calls = f64::from(u32::try_from(sample.calls)?);
        Ok(Window {
            throughput: calls / sample.seconds,
            cpu: cpu * 1e6 / calls,
            busy: cpu * 100.0 / sample.seconds,
            sample,
        })
    }

    fn numbers(&mut self, row: &str, server: &str, windows: &[Window]) {
        let median = |of: fn(&Window) -> f64| Spread::of(windows.iter().map(of)).median;
        let micros = |of: fn(&Sample) -> u64| {
            let mut all: Vec<u64> = windows.iter().map(|w| of(&w.sample)).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or(0).to_string()
        };
        let answer = windows.first().map_or("", |w| w.sample.answer.as_str());
        let size = BASE64_STANDARD.decode(answer).map_or(0, |bytes| bytes.len());
        self.numbers.add_row([
            row.to_owned(),
            server.to_owned(),
            format!("{:.0}", median(|w| w.throughput)),
            format!("{:.1}", median(|w| w.cpu)),
            format!("{:.0} %", median(|w| w.busy)),
            micros(|s| s.p50),
            micros(|s| s.p99),
            format!("{size} B"),
        ]);
    }
}

// === impl Spread ===

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |n: usize| sorted.get(n).copied().unwrap_or(f64::NAN);
        Self { median: at(sorted.len() / 2), min: at(0), max: at(sorted.len().saturating_sub(1)) }
    }
}
