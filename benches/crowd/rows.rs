//! The rows, in the order in which they are printed.

use std::time::Duration;

use crate::{
    Outcome,
    load::Sample,
    server::{Cores, Server},
    servers::{LIMIT, MAX_IN_FLIGHT, write_settings},
    token::Issuer,
};

/// The number of A-B-B-A rounds; the result is the median of their ratios.
const ROUNDS: usize = 5;
/// Calls in flight when the rate is not fixed.
const CONCURRENCY: usize = 64;
/// Calls per second of the measured tenant, next to the greedy tenant.
const STEADY: f64 = 400.0;
/// The rate of the greedy tenant, as a multiple of its limit.
const GREED: f64 = 50.0;
/// The offered load in row 11, as a multiple of the peak.
const OVERLOAD: f64 = 3.0;
/// The minimum share of the intended load for a valid result.
const MIN_OFFERED: f64 = 0.9;
/// The length of a window of row 10 in normal windows, because a 99th percentile needs many calls.
const LONG_WINDOW: u32 = 3;

/// Measures one row or all rows, and prints the results.
pub(crate) fn run(row: Option<&str>, window: Duration) -> Outcome<()> {
    let (cores, folder) = (Cores::find()?, tempfile::tempdir()?);
    let issuer = Issuer::new(folder.path())?;
    write_settings(folder.path())?;
    let service = cores.serve(&["service", &folder.path().display().to_string()])?;
    println!(
        "servers on core {}, load on core {}; windows of {window:?}, A-B-B-A, median of {ROUNDS}\n",
        cores.server, cores.generator
    );
    let bench = Bench { cores, service, window };
    let (good, greedy) = (issuer.token("good")?, issuer.token("greedy")?);
    let is_selected = |one| row.is_none_or(|row| row == one);
    if is_selected("10") {
        bench.greedy_tenant(&good, &greedy)?;
    }
    if is_selected("11") {
        bench.overload(&good)?;
    }
    if !is_selected("12") {
        return Ok(());
    }
    let echo = bench.cores.serve(&["echo"])?;
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
    cores: Cores,
    service: Server,
    window: Duration,
}

// === impl Bench ===

impl Bench {
    /// Row 10: the p99 of other tenants next to a tenant far above its limit, relative to without it.
    fn greedy_tenant(&self, good: &str, greedy: &str) -> Outcome<()> {
        let window = LONG_WINDOW * self.window;
        let steady = || self.cores.load(&self.service, STEADY, CONCURRENCY, window, good)?.nearly_all_good();
        let with_greedy = || -> Outcome<(Sample, Sample)> {
            let rate = f64::from(LIMIT) * GREED;
            let noise =
                self.cores.start_load(&self.service, rate, 1_000, window + self.window / 4, greedy)?;
            let (sample, noise) = (steady()?, noise.finish()?);
            if noise.refused < MIN_OFFERED * rate * noise.seconds {
                return Err(
                    format!("the greedy tenant was not refused as often as intended: {noise:?}").into()
                );
            }
            Ok((sample, noise))
        };
        let (_warm_up, mut noise) = with_greedy()?;
        let (mut ratios, mut alone) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (a1, (b1, n1), (b2, n2), a2) = (steady()?, with_greedy()?, with_greedy()?, steady()?);
            ratios.push((b1.p99 + b2.p99) / (a1.p99 + a2.p99));
            alone.push(f64::midpoint(a1.p99, a2.p99));
            noise.refused += n1.refused + n2.refused;
            noise.seconds += n1.seconds + n2.seconds;
        }
        println!(
            "10: p99 of others next to a tenant at {GREED} times its limit: {:.2}x of that without it ({:.0} µs); {:.0} calls/s refused",
            median(ratios),
            median(alone),
            noise.refused / noise.seconds
        );
        Ok(())
    }

    /// Row 11: the goodput under overload relative to the peak, and the growth of memory.
    fn overload(&self, good: &str) -> Outcome<()> {
        let peak = || self.cores.load(&self.service, 0.0, CONCURRENCY, self.window, good);
        let mut rate = peak()?.goodput();
        let (before, _) = self.service.memory()?;
        let (mut ratios, mut offered, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let a1 = peak()?;
            rate = rate.max(a1.goodput());
            let over = || {
                let (rate, max) = (OVERLOAD * rate, 8 * MAX_IN_FLIGHT);
                let over = self.cores.load(&self.service, rate, max, self.window, good);
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
        if median(offered.clone()) < MIN_OFFERED * OVERLOAD {
            return Err(
                format!("the load generator offered less than intended: {offered:?} times the peak").into()
            );
        }
        println!(
            "11: goodput at {:.1} times the peak load, of which HTTP/2 admitted {:.1}: {:.1} % of the peak ({rate:.0} calls/s); memory grew by {:.1} MiB",
            median(offered),
            median(sent),
            100.0 * median(ratios),
            (max - before) / 1024.0
        );
        Ok(())
    }

    /// Row 12: the server's CPU time for a refusal, relative to that of E for a response.
    fn refusal(&self, row: &str, echo: &Server, good: &str, token: &str) -> Outcome<()> {
        let cost = |server: &Server, token: &str| -> Outcome<(f64, Sample)> {
            let before = server.cpu_seconds()?;
            let sample =
                self.cores.load(server, 0.0, CONCURRENCY, self.window, token)?.by_an_idle_generator()?;
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
            "12: {row}: {:.2}x of E's CPU time ({:.1} µs); {:.2} % of the calls were admitted",
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
