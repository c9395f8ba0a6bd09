use std::cell::Cell;

use super::*;

const TIMEOUT: Duration = Duration::from_mins(6);

fn association(key: &str, state: State) -> KeyAssociation {
    let mut association = KeyAssociation { kms_key_arn: key.to_owned(), ..KeyAssociation::default() };
    association.set_state(state);
    association
}

#[tokio::test(start_paused = true)]
async fn a_change_is_awaited_until_it_is_in_force() {
    let reads = Cell::new(0);
    let read = async || {
        reads.set(reads.get() + 1);
        Ok(association("key", if reads.get() < 3 { State::Settling } else { State::InForce }))
    };
    let (last, result) = until(association("key", State::Settling), State::InForce, TIMEOUT, read).await;
    assert_eq!((last.state(), reads.get()), (State::InForce, 3));
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_what_ended_it() {
    let begin = || association("key", State::Settling);
    let until = async |read: fn() -> Result<KeyAssociation, Failure>| {
        until(begin(), State::InForce, TIMEOUT, async || read()).await
    };
    let (_, result) = until(|| Ok(association("key", State::Settling))).await;
    assert!(matches!(result, Err(Failure::NotYet(_))), "{result:?}");
    let (last, result) = until(|| Ok(association("another", State::Settling))).await;
    assert!(matches!(result, Err(Failure::Negative(_))), "{result:?}");
    assert_eq!(last.kms_key_arn, "another");
    let (last, result) = until(|| Err(Failure::NotFound("it was deleted".to_owned()))).await;
    assert!(matches!(result, Err(Failure::NotFound(_))), "{result:?}");
    assert_eq!(last, begin(), "what was done is still known");
}
