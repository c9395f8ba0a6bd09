//! The steps of the audit log: it is intact; one changed byte is found, with its position.

use std::{error::Error, path::Path, process::Command, time::Duration};

use sqlx::{Connection as _, SqliteConnection};
use tonic::{Response, Status};

use super::{
    change_steps::REASON,
    demo_call::DemoCall,
    show::Printer,
    took::Started,
    world::{DemoEnvironment, StepResult},
};
use crate::{audit::checkpoint::default_key_path, store};

/// How long a checkpoint may take to cover the last event.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often it looks.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn all(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    Printer::chapter("The audit log");
    let store = demo.store();
    intact(printer, &store).await?;
    altered(printer, &store).await
}

async fn intact(printer: &mut Printer, store: &Path) -> StepResult {
    let started = Started::without_calls();
    let deadline = std::time::Instant::now() + TIMEOUT;
    let result = loop {
        let (code, text) = verify(store)?;
        let is_covered = covered(&text);
        if code == Some(0) && is_covered || std::time::Instant::now() > deadline {
            break Ok::<_, Status>(Response::new((code, text)));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    let title = "Is the log complete and unchanged?";
    let call = DemoCall::new(title, "logkey audit verify", started.took_without_calls(), &result);
    printer.step(&call.succeeds(|(_, text)| text.clone(), |(code, text)| *code == Some(0) && covered(text)));
    Ok(())
}

/// Changes a byte in a copy of the log, in the event of the first change.
async fn altered(printer: &mut Printer, store: &Path) -> StepResult {
    let copy = store.with_file_name("copy.db");
    let position = copy_with_another_byte(store, &copy).await?;
    std::fs::copy(default_key_path(store), default_key_path(&copy))?;
    let started = Started::without_calls();
    let result = Ok::<_, Status>(Response::new(verify(&copy)?));
    let asked = format!(
        "in a copy of the log, one byte of event {position}: {REASON} becomes {}\nlogkey audit verify",
        changed_reason()
    );
    let title = "One changed byte is found, with its position";
    let call = DemoCall::new(title, &asked, started.took_without_calls(), &result);
    let expected = format!("event {position} was altered");
    printer.step(
        &call.succeeds(|(_, text)| text.clone(), |(code, text)| *code == Some(1) && text.contains(&expected)),
    );
    Ok(())
}

/// Runs `logkey audit verify`; returns its exit code and its output.
fn verify(store: &Path) -> Result<(Option<i32>, String), Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["audit", "verify", "--store"]).arg(format!("sqlite://{}", store.display()));
    let output = command.env_remove("LOGKEY_CONFIG").output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).trim().to_owned()))
}

/// Whether a signed checkpoint covers every event, by the words of `verify`.
fn covered(text: &str) -> bool {
    let numbers: Vec<u64> =
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    matches!(&*numbers, [events, signed] if events == signed)
}

/// Copies the log, changes a byte of the first event with the reason, and returns the event's position.
async fn copy_with_another_byte(store: &Path, copy: &Path) -> Result<i64, Box<dyn Error>> {
    let mut original = SqliteConnection::connect(&format!("sqlite://{}", store.display())).await?;
    sqlx::query("VACUUM INTO ?").bind(copy.display().to_string()).execute(&mut original).await?;
    original.close().await?;
    let url = format!("sqlite://{}", copy.display());
    let log = store::open_reader(&store::Config { url: url.clone() }).await?.log;
    let all = log.after(0, u32::MAX).await?;
    let event = all.iter().find(|event| event.body.contains(REASON)).ok_or("no event has the reason")?;
    let position = i64::try_from(event.seq)?;
    let mut copied = SqliteConnection::connect(&url).await?;
    let change = sqlx::query("UPDATE event SET body = $1, packed = NULL WHERE seq = $2");
    change
        .bind(event.body.replacen(REASON, &changed_reason(), 1))
        .bind(position)
        .execute(&mut copied)
        .await?;
    copied.close().await?;
    Ok(position)
}

fn changed_reason() -> String {
    REASON.replace('1', "7")
}
