//! The inputs that the fuzzers keep, through the same code as theirs: what was found once stays found.

use std::fs;

#[path = "../../fuzz/src/lib.rs"]
#[expect(
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "a library of its own to the fuzzers, whose panics are findings"
)]
mod fuzz;

/// Runs every kept input of a target: some are taken, and some are not.
fn replay(target: &str, run: fn(&[u8]) -> bool) {
    let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let inputs: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut taken = 0;
    for input in &inputs {
        let data = fs::read(input).unwrap();
        let answer = std::panic::catch_unwind(|| run(&data));
        taken += usize::from(answer.unwrap_or_else(|_| panic!("{}", input.display())));
    }
    assert!(0 < taken && taken < inputs.len(), "{taken} of {} were taken", inputs.len());
}

macro_rules! targets {
    ($($claim:ident: $target:ident,)+) => {
        $(
            #[test]
            fn $claim() {
                replay(stringify!($target), fuzz::$target::run);
            }
        )+
    };
}

targets! {
    every_kept_token_is_judged_as_a_second_reader_would: token,
    every_kept_key_set_is_read_without_losing_a_key: jwks,
    every_kept_configuration_is_used_or_told_its_faults: config,
    every_kept_set_of_policies_is_used_or_told_its_faults: policies,
    every_kept_arn_is_written_as_it_was_read: arn,
    every_kept_key_policy_lets_a_denial_win: key_policy,
    every_kept_event_is_shown_without_commands_to_the_terminal: event,
    every_kept_checkpoint_is_in_form_where_it_is_believed: checkpoint,
}
