//! Runs the fuzzers' corpus through the fuzz targets, so that a bug that they found once stays found.

use std::fs;

#[path = "../../fuzz/src/lib.rs"]
#[expect(
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "a separate library for the fuzzers; its panics are findings"
)]
mod fuzz;

/// Runs every input of a target. The target accepts some and rejects some.
fn replay(target: &str, run: fn(&[u8]) -> bool) {
    let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let inputs: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut accepted = 0;
    for input in &inputs {
        let data = fs::read(input).unwrap();
        let answer = std::panic::catch_unwind(|| run(&data));
        accepted += usize::from(answer.unwrap_or_else(|_| panic!("{}", input.display())));
    }
    assert!(
        0 < accepted && accepted < inputs.len(),
        "the target accepted {accepted} of {} inputs",
        inputs.len()
    );
}

macro_rules! targets {
    ($($test_name:ident: $target:ident,)+) => {
        $(
            #[test]
            fn $test_name() {
                replay(stringify!($target), fuzz::$target::run);
            }
        )+
    };
}

targets! {
    each_token_gets_the_same_result_from_two_parsers: token,
    each_key_set_is_read_without_losing_a_key: jwks,
    each_configuration_is_accepted_or_gets_diagnostics: config,
    each_policy_set_is_accepted_or_gets_diagnostics: policies,
    each_arn_is_printed_as_it_was_read: arn,
    in_each_key_policy_a_deny_wins: key_policy,
    each_event_is_printed_without_terminal_escapes: event,
    each_message_of_the_event_queue_is_a_change_or_gets_a_reason: group_event,
    each_trusted_checkpoint_is_well_formed: checkpoint,
}
