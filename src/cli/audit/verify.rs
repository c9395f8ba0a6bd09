//! `logkey audit verify`: reports whether the log is complete and unchanged, or where it was changed.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;
use logkey_client::output::{Column, OutputArgs, Report, Table, print};
use serde_json::json;
use tlog_tiles::Checkpoint;

use super::{
    failure::Failure,
    log_location::{LogLocation, TrustArgs},
};
use crate::{
    audit::{
        checkpoint,
        verify::{self, ArchivedRanges, TrustAnchor, UnsignedEvents},
    },
    cli::progress::Progress,
    config::ArchiveTarget,
    domain::plural::plural,
    ports::EventFilter,
    store,
};

/// The arguments of `logkey audit verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    location: LogLocation,
    #[command(flatten)]
    trust: TrustArgs,
    /// A checkpoint of the log that you stored elsewhere.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The folder or bucket of the archive, if events were moved there [default: `audit.archive`].
    #[arg(long, value_name = "DIR")]
    archive: Option<ArchiveTarget>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: VerifyArgs) -> Result<ExitCode, Failure> {
    let log = args.location.log()?;
    let open = store::open_reader(&log.store).await?;
    let archive = log.archive_reader(args.archive.as_ref(), &*open.log).await?;
    let archive = archive.as_ref();
    let note = args.checkpoint.as_deref().map(fs::read).transpose()?;
    let read_checkpoint = |verifiers: &[String]| -> Result<Option<Checkpoint>, Failure> {
        archive.map(|archive| archive.signed(&log.origin, verifiers)).transpose()?;
        Ok(note.as_ref().map(|note| checkpoint::read(note, &log.origin, verifiers)).transpose()?)
    };
    let verifiers = log.verifiers(&args.trust)?;
    // Search the log for further keys only if another key signed one of these checkpoints.
    let kept_checkpoint = match read_checkpoint(&verifiers) {
        Ok(kept_checkpoint) => kept_checkpoint,
        Err(_other_key) => {
            let trusted = log.trusted(&open, &verifiers, archive).await?;
            read_checkpoint(&trusted.comparable_verifiers())?
        }
    };
    let (kept_checkpoint, key_file) = (kept_checkpoint.as_ref(), log.key_file().ok());
    let key_file = key_file.as_deref();
    let against =
        TrustAnchor { origin: &log.origin, verifiers: &verifiers, kept_checkpoint, archive, key_file };
    let newest = open.log.list(&EventFilter::default(), None, 1).await?;
    let progress = Progress::new("verifying", newest.first().map_or(0, |event| event.seq), &args.output);
    let report = verify::verify(&*open.log, &*open.tree, &against, |count| progress.set(count)).await?;
    drop(progress);
    let (verdict, sentence) = verdict(&report);
    print(&to_report(&report, verdict, sentence), &args.output)?;
    Ok(match verdict {
        Verdict::Intact => ExitCode::SUCCESS,
        Verdict::Changed => ExitCode::from(1),
        Verdict::Undecided => ExitCode::from(2),
    })
}

/// What is known about the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Intact,
    Changed,
    Undecided,
}

/// The verdict, and the sentence that says it.
fn verdict(report: &verify::Report) -> (Verdict, String) {
    let verify::Report { events, signed, findings, moved_out, unsigned, .. } = report;
    let total = plural(*events, "event");
    let covered = format!("{total}; a signed checkpoint covers {signed} of them");
    if !findings.is_empty() {
        return (Verdict::Changed, format!("changed: {total}; a checkpoint covers {signed} of them"));
    }
    if let Some(ArchivedRanges { last, checked: false, .. }) = moved_out {
        let unchecked = format!("events 1 to {last} were not checked: name their archive with --archive");
        return (Verdict::Undecided, format!("{unchecked}; the rest is intact: {covered}"));
    }
    match unsigned {
        None => (Verdict::Intact, format!("intact: {covered}")),
        Some(UnsignedEvents { count, is_checked: true }) => {
            let unsigned = plural(*count, "event");
            (Verdict::Intact, format!("intact: {covered}, and the service wrote the {unsigned} after it"))
        }
        Some(UnsignedEvents { count, is_checked: false }) => {
            let unsigned = plural(*count, "event");
            let sentence = format!(
                "the {unsigned} after the newest checkpoint were not checked: run verify again when a \
                 checkpoint covers them, or where the signing key is; the rest is intact: {covered}"
            );
            (Verdict::Undecided, sentence)
        }
    }
}

fn to_report(report: &verify::Report, verdict: Verdict, sentence: String) -> Report {
    let verdict = match verdict {
        Verdict::Intact => "INTACT",
        Verdict::Changed => "CHANGED",
        Verdict::Undecided => "UNDECIDED",
    };
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let unproven: Vec<String> = report.unproven.iter().map(ToString::to_string).collect();
    let document = json!({
        "verdict": verdict,
        "events": report.events,
        "signedEvents": report.signed,
        "findings": findings,
        "unproven": unproven,
        "formerLog": report.former.as_ref().map(|former| json!({ "events": former.size, "root": former.root })),
        "archivedEvents": report.moved_out.as_ref().map_or(0, |moved| moved.last),
    });
    let mut table = Table::new(&[Column::new("verdict"), Column::new("finding")], "");
    for finding in &findings {
        table.push([verdict.to_owned(), finding.clone()]);
    }
    if findings.is_empty() {
        table.push([verdict.to_owned(), String::new()]);
    }
    let unproven = unproven.into_iter().map(|it| format!("unproven: {it}"));
    let moved = report.moved_out.as_ref().map(|ArchivedRanges { last, claimed, .. }| {
        format!("events 1 to {last} were moved out to an archive, as event {claimed} of the log says")
    });
    let former = report.former.as_ref().map(ToString::to_string);
    let notes = findings.into_iter().chain(unproven).chain(former).chain(moved).chain([sentence]);
    Report::new(document, table.hidden()).notes(notes)
}
