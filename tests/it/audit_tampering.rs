//! A property test: whatever somebody changes in the store without the signing key, `verify` finds it where it
//! is. Each kind of change says what has to be found; nothing of `verify` is repeated here.
#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

mod base;
mod event_text;
pub(crate) mod forger;
mod tampering;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use self::{
    base::Base,
    tampering::{KINDS, Tampering},
};

/// How many changes of each kind the test makes.
const CASES_OF_A_KIND: u32 = 3;

#[test]
fn every_generated_tampering_is_found_where_it_is() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let base = runtime.block_on(Base::create());
    assert_eq!(runtime.block_on(base.copy().findings()), Vec::<String>::new(), "the untouched log");
    for kind in KINDS {
        let config = Config { cases: CASES_OF_A_KIND, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let places = (any::<u32>(), any::<u32>(), any::<u8>());
        runner
            .run(&places, |(a, b, byte)| {
                let copy = base.copy();
                let tampering = Tampering { kind: *kind, a, b, byte };
                let expected = runtime.block_on(tampering.apply(&copy));
                let found = runtime.block_on(copy.findings());
                let is_found = found.iter().any(|finding| expected.iter().any(|it| it.matches(finding)));
                prop_assert!(is_found, "{tampering:?}: expected one of {expected:?}, found {found:?}");
                Ok(())
            })
            .unwrap();
    }
}
