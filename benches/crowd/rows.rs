//! What is measured, in the order in which it is printed.

use std::time::Duration;

use crate::{
    Outcome,
    load::Sample,
    process::{Cores, Server},
    servers::{LIMIT, MAX_IN_FLIGHT, write_settings},
    token::Issuer,
};

/// Rounds of A-B-B-A; what counts is the median of their ratios.
const ROUNDS: usize = 5;
/// Calls under way where as many are sent as are answered.
const BUSY: usize = 64;
/// Calls a second of those whose time is taken beside the greedy tenant.
const STEADY: f64 = 400.0;
/// How many times its limit the greedy tenant calls.
const GREED: f64 = 50.0;
/// How many times the load that it can take the service gets.
const TOO_MUCH: f64 = 3.0;
/// How much of what is meant to be sent has to be sent for a figure to count.
const MEANT: f64 = 0.9;
/// How many windows one of row 10 lasts: a 99th percentile wants many calls.
const LONGER: u32 = 3;

/// Measures a row, or all of them, and prints what came of it.
pub(crate) fn run(row: Option<&str>, window: Duration) -> Outcome<()> {
    let (cores, folder) = (Cores::find()?, tempfile::tempdir()?);
    let issuer = Issuer::new(folder.path())?;
    write_settings(folder.path())?;
    let service = cores.serve(&["service", &folder.path().display().to_string()])?;
    let bench = Bench { service, window };
    println!(
        "servers on core {}, load on core {}; windows of {window:?}, A-B-B-A, median of {ROUNDS}\n",
        cores.server, cores.generator
    );
    let (good, greedy) = (issuer.token("good")?, issuer.token("greedy")?);
    let is_selected = |one| row.is_none_or(|row| row == one);
    if is_selected("10") {
        bench.greed(&good, &greedy)?;
    }
    if is_selected("11") {
        bench.too_much(&good)?;
    }
    if !is_selected("12") {
        return Ok(());
    }
    let echo = cores.serve(&["echo"])?;
    for (row, token) in [
        ("over the limit", greedy),
        ("bad signature", issuer.badly_signed("good")?),
        ("unknown key id", issuer.of_unknown_key("good")?),
    ] {
        bench.refusal(row, &echo, &good, &token)?;
    }
    Ok(())
}

struct Bench {
    service: Server,
    window: Duration,
}

// === impl Bench ===

impl Bench {
    /// Row 10: others' p99 beside a tenant far over its limit, against alone.
    fn greed(&self, good: &str, greedy: &str) -> Outcome<()> {
        let window = LONGER * self.window;
        let steady = || self.service.load(STEADY, BUSY, window, good)?.nearly_all_good();
        let beside = || -> Outcome<(Sample, Sample)> {
            let rate = f64::from(LIMIT) * GREED;
            let noise = self.service.loading(rate, 1_000, window + self.window / 4, greedy)?;
            let (sample, noise) = (steady()?, noise.done()?);
            if noise.refused < MEANT * rate * noise.seconds {
                return Err(format!("the greedy tenant was not refused as often as meant: {noise:?}").into());
            }
            Ok((sample, noise))
        };
        let (_warm, mut noise) = beside()?;
        let (mut ratios, mut alone) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (a1, (b1, n1), (b2, n2), a2) = (steady()?, beside()?, beside()?, steady()?);
            ratios.push((b1.p99 + b2.p99) / (a1.p99 + a2.p99));
            alone.push(f64::midpoint(a1.p99, a2.p99));
            noise.refused += n1.refused + n2.refused;
            noise.seconds += n1.seconds + n2.seconds;
        }
        println!(
            "10: others' p99 beside one at {GREED} times its limit: {:.2}x of alone ({:.0} µs); {:.0} calls a second refused",
            median(ratios),
            median(alone),
            noise.refused / noise.seconds
        );
        Ok(())
    }

    /// Row 11: goodput under more than it can take, against the peak; and what memory grew by.
    fn too_much(&self, good: &str) -> Outcome<()> {
        let peak = || self.service.load(0.0, BUSY, self.window, good);
        let mut rate = peak()?.goodput();
        let (before, _) = self.service.memory()?;
        let (mut ratios, mut offered, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let a1 = peak()?;
            rate = rate.max(a1.goodput());
            let over = || {
                let over = self.service.load(TOO_MUCH * rate, 8 * MAX_IN_FLIGHT, self.window, good);
                over?.by_an_idle_generator()
            };
            let (b1, b2, a2) = (over()?, over()?, peak()?);
            let of = |a: Sample, b: Sample| (a.good + b.good) / (a.seconds + b.seconds);
            ratios.push(of(b1, b2) / of(a1, a2));
            let against_peak = |calls: f64| calls / (b1.seconds + b2.seconds) / of(a1, a2);
            sent.push(against_peak(b1.sent + b2.sent));
            offered.push(against_peak(b1.sent + b1.unsent + b2.sent + b2.unsent));
        }
        let (_, max) = self.service.memory()?;
        if median(offered.clone()) < MEANT * TOO_MUCH {
            return Err(format!("less than meant was offered: {offered:?} times the peak").into());
        }
        println!(
            "11: goodput under {:.1} times the load it can take, of which HTTP/2 let {:.1} be sent: {:.1} % of the peak ({rate:.0} a second); memory grew by {:.1} MiB",
            median(offered),
            median(sent),
            100.0 * median(ratios),
            (max - before) / 1024.0
        );
        Ok(())
    }

    /// Row 12: the server's CPU time for a refusal, against E's for an answer.
    fn refusal(&self, row: &str, echo: &Server, good: &str, token: &str) -> Outcome<()> {
        let cost = |server: &Server, token: &str| -> Outcome<(f64, Sample)> {
            let before = server.cpu_seconds()?;
            let sample = server.load(0.0, BUSY, self.window, token)?.by_an_idle_generator()?;
            let used = server.cpu_seconds()? - before;
            Ok((used / (sample.good + sample.refused), sample))
        };
        cost(echo, good)?;
        let (_, sample) = cost(&self.service, token)?;
        let (mut ratios, mut of_echo) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (a1, _) = cost(echo, good)?;
            let ((b1, _), (b2, _)) = (cost(&self.service, token)?, cost(&self.service, token)?);
            let (a2, _) = cost(echo, good)?;
            ratios.push((b1 + b2) / (a1 + a2));
            of_echo.push(f64::midpoint(a1, a2) * 1e6);
        }
        println!(
            "12: {row}: {:.2}x of E's CPU time ({:.1} µs); {:.2} % of the calls were let through",
            median(ratios),
            median(of_echo),
            100.0 * sample.good / (sample.good + sample.refused)
        );
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
