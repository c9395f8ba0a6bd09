//! The recorded counts of instructions: a name and a count on each line, sorted by name.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use crate::Outcome;

/// The limit of an increase over the recorded count, in percent. Two runs differ by less than 1 % on an idle
/// machine, and by up to 4 % on an overloaded one.
const MAX_INCREASE: f64 = 3.0;

/// Instructions per call, by the row's name.
pub(crate) type Counts = BTreeMap<String, u32>;

/// Reads a record.
pub(crate) fn read(file: &Path) -> Outcome<Counts> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut counts = Counts::new();
    for (line, number) in text.lines().zip(1..) {
        let fields = line.split_once(' ').and_then(|(name, count)| Some((name, count.trim().parse().ok()?)));
        let (name, count) = fields.ok_or_else(|| {
            format!("{}:{number}: {line:?} is not a name and a count of instructions", file.display())
        })?;
        counts.insert(name.to_owned(), count);
    }
    Ok(counts)
}

/// Writes a record.
pub(crate) fn write(file: &Path, counts: &Counts) -> Outcome<()> {
    let mut text = String::new();
    for (name, count) in counts {
        writeln!(text, "{name} {count}")?;
    }
    Ok(fs::write(file, text)?)
}

/// Compares counts with the recorded ones. Fails if one has grown too much or is not recorded.
pub(crate) fn check(file: &Path, recorded: &Counts, counts: &Counts) -> Outcome<()> {
    let (mut failed, mut is_outdated) = (Vec::new(), false);
    for (name, count) in counts {
        let Some(old) = recorded.get(name) else {
            println!("{name}: {count} instructions per call; not recorded");
            failed.push(name.as_str());
            continue;
        };
        let change = 100.0 * (f64::from(*count) / f64::from(*old) - 1.0);
        println!("{name}: {count} instructions per call; recorded {old} ({change:+.1} %)");
        if change > MAX_INCREASE {
            failed.push(name);
        }
        is_outdated |= change < -MAX_INCREASE;
    }
    let command = format!("cargo bench --bench ratios -- --instructions --record {}", file.display());
    if is_outdated {
        println!("A count fell by more than {MAX_INCREASE} %: run `{command}` and commit the file.");
    }
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
