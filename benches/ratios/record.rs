//! The recorded counts of instructions: on each line a name, the instructions of a call of the service, and
//! those of the same call of its baseline, sorted by name.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use crate::Outcome;

/// The limit of an increase over the recorded count, in percent. Two runs differ by less than 1 % on an idle
/// machine, and by up to 4 % on an overloaded one.
const MAX_INCREASE: f64 = 5.0;

/// Instructions per call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) service: u32,
    pub(crate) baseline: u32,
}

/// The counts, by the row's name.
pub(crate) type Counts = BTreeMap<String, Count>;

/// Reads a record.
pub(crate) fn read(file: &Path) -> Outcome<Counts> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut counts = Counts::new();
    for (line, number) in text.lines().zip(1..) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let parsed = match fields.as_slice() {
            [name, service, baseline] => service.parse().ok().zip(baseline.parse().ok()).map(|it| (name, it)),
            _ => None,
        };
        let (name, (service, baseline)) = parsed.ok_or_else(|| {
            format!("{}:{number}: {line:?} is not a name and two counts of instructions", file.display())
        })?;
        counts.insert((*name).to_owned(), Count { service, baseline });
    }
    Ok(counts)
}

/// Writes a record.
pub(crate) fn write(file: &Path, counts: &Counts) -> Outcome<()> {
    let mut text = String::new();
    for (name, Count { service, baseline }) in counts {
        writeln!(text, "{name} {service} {baseline}")?;
    }
    Ok(fs::write(file, text)?)
}

/// The rows that have grown too much, or that are not recorded. Another processor or C library changes the
/// baseline too, so a row has grown only if both its count and its ratio to the baseline have.
pub(crate) fn grown(recorded: &Counts, counts: &Counts) -> Vec<String> {
    let has_grown = |(name, count): &(&String, &Count)| match recorded.get(*name) {
        Some(old) => increase(count.service, old.service).min(ratio_increase(**count, *old)) > MAX_INCREASE,
        None => true,
    };
    counts.iter().filter(has_grown).map(|(name, _)| name.clone()).collect()
}

/// Prints the counts beside the recorded ones, and fails if one has grown too much or is not recorded.
pub(crate) fn check(file: &Path, recorded: &Counts, counts: &Counts) -> Outcome<()> {
    let mut is_outdated = false;
    for (name, count) in counts {
        let Count { service, baseline } = count;
        let Some(old) = recorded.get(name) else {
            println!("{name}: {service} instructions per call; not recorded");
            continue;
        };
        let (change, ratio) = (increase(*service, old.service), ratio_increase(*count, *old));
        println!(
            "{name}: {service} instructions per call; recorded {} ({change:+.1} %); {:.2} times the baseline's \
             {baseline} ({ratio:+.1} %)",
            old.service,
            f64::from(*service) / f64::from(*baseline),
        );
        is_outdated |= change.max(ratio) < -MAX_INCREASE;
    }
    let command =
        format!("cargo bench --profile cost --bench ratios -- --instructions --record {}", file.display());
    if is_outdated {
        println!("A count fell by more than {MAX_INCREASE} %: run `{command}` and commit the file.");
    }
    let failed = grown(recorded, counts);
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!(
        "instructions per call grew by more than {MAX_INCREASE} % or are not recorded: {}; reduce them, or, if \
         the increase is intended, run `{command}` and commit the file with your change",
        failed.join(", ")
    )
    .into())
}

fn increase(new: u32, old: u32) -> f64 {
    100.0 * (f64::from(new) / f64::from(old) - 1.0)
}

fn ratio_increase(new: Count, old: Count) -> f64 {
    let ratio = |count: Count| f64::from(count.service) / f64::from(count.baseline);
    100.0 * (ratio(new) / ratio(old) - 1.0)
}
