use std::{num::NonZeroUsize, time::Duration};

use futures_util::future::join_all;
use tokio::{task::JoinSet, time::advance};

use super::*;
use crate::{
    domain::association::Place,
    limit::Upstream,
    ports::limit::{Feedback, Operation},
};

fn id(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn lane(region: &str) -> Lane {
    let place = Place { account: "111122223333".parse().unwrap(), region: region.parse().unwrap() };
    Lane { place, operation: Operation::AssociateKmsKey }
}

fn pace() -> Arc<LocalPace> {
    Arc::new(LocalPace::new(Upstream::default(), Waiting::default()))
}

fn within(seconds: u64) -> StdInstant {
    (Instant::now() + Duration::from_secs(seconds)).into_std()
}

/// Calls that go as soon as they may, each told how long after the start it went.
fn going(pace: &Arc<LocalPace>, who: &str, calls: usize, seconds: u64) -> JoinSet<Result<u128, NoTurn>> {
    let start = Instant::now();
    let mut set = JoinSet::new();
    for _ in 0..calls {
        let (pace, who) = (Arc::clone(pace), id(who));
        set.spawn(async move {
            let turn = pace.turn(&lane("eu-west-1"), &who, within(seconds)).await?;
            turn.used(Feedback::Counted);
            Ok(start.elapsed().as_millis())
        });
    }
    set
}

#[tokio::test(start_paused = true)]
async fn the_quota_is_kept_and_used() {
    let mut went: Vec<_> =
        going(&pace(), "a", 100, 60).join_all().await.into_iter().map(Result::unwrap).collect();
    went.sort_unstable();
    assert!(went.windows(2).all(|pair| pair[1] - pair[0] >= 200), "{went:?}");
    assert!(*went.last().unwrap() <= 99 * 202, "{went:?}");
}

#[tokio::test(start_paused = true)]
async fn lanes_do_not_wait_for_each_other() {
    let pace = pace();
    let start = Instant::now();
    let (a, soon) = (id("a"), within(0));
    let (one, two) = (lane("eu-west-1"), lane("eu-west-2"));
    let other = Lane { operation: Operation::DescribeLogGroups, ..one.clone() };
    let turns = [&one, &two, &other].map(|lane| pace.turn(lane, &a, soon));
    assert!(join_all(turns).await.into_iter().all(|turn| turn.is_ok()));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_late_tenant_waits_one_turn_and_not_for_all_calls_before() {
    let pace = pace();
    let mut crowd = going(&pace, "crowd", 50, 60);
    tokio::task::yield_now().await;
    advance(Duration::from_millis(1)).await;
    let went = going(&pace, "late", 1, 60).join_all().await.remove(0).unwrap();
    assert!(went <= 410, "{went}");
    crowd.abort_all();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_go_in_time_is_told_at_once_and_can_when_it_comes_back_as_told() {
    let pace = pace();
    let _crowd = going(&pace, "a", 50, 60);
    tokio::task::yield_now().await;
    let start = Instant::now();
    let (lane, a) = (lane("eu-west-1"), id("a"));
    let NoTurn { retry_after } = pace.turn(&lane, &a, within(2)).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!((7..=9).contains(&retry_after.as_secs()), "{retry_after:?}");
    tokio::time::sleep(retry_after).await;
    assert!(pace.turn(&lane, &a, within(2)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn callers_that_are_refused_together_find_their_turns_when_they_come_back() {
    let pace = pace();
    let mut set = JoinSet::new();
    for _ in 0..60 {
        let pace = Arc::clone(&pace);
        set.spawn(async move {
            match pace.turn(&lane("eu-west-1"), &id("a"), within(3)).await {
                Ok(turn) => turn.used(Feedback::Counted),
                Err(NoTurn { retry_after }) => {
                    tokio::time::sleep(retry_after).await;
                    pace.turn(&lane("eu-west-1"), &id("a"), within(3)).await.unwrap().used(Feedback::Counted);
                }
            }
        });
    }
    set.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn others_may_make_a_wait_vain_and_then_it_ends_before_the_deadline() {
    let pace = pace();
    let mut a = going(&pace, "a", 20, 4);
    tokio::task::yield_now().await;
    let start = Instant::now();
    let _b = going(&pace, "b", 20, 60);
    let mut told = Vec::new();
    while let Some(ended) = a.join_next().await {
        if ended.unwrap().is_err() {
            told.push(start.elapsed().as_millis());
        }
    }
    assert!((8..=12).contains(&told.len()), "{told:?}");
    assert!(told.iter().all(|at| *at <= 500), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_that_leave_take_no_turn() {
    let pace = pace();
    let mut leaving = going(&pace, "a", 200, 60);
    tokio::task::yield_now().await;
    leaving.abort_all();
    while leaving.join_next().await.is_some() {}
    let went = going(&pace, "a", 1, 60).join_all().await.remove(0).unwrap();
    assert!(went <= 202, "{went}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_not_used_goes_to_the_next() {
    let pace = pace();
    let (lane, a) = (lane("eu-west-1"), id("a"));
    let unused = pace.turn(&lane, &a, within(1)).await.unwrap();
    let mut next = going(&pace, "b", 1, 1);
    tokio::task::yield_now().await;
    drop(unused);
    assert_eq!(next.join_next().await.unwrap().unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_comes_back_before_all_that_wait() {
    let pace = pace();
    let (lane, b) = (lane("eu-west-1"), id("b"));
    let throttled = pace.turn(&lane, &b, within(60)).await.unwrap();
    let mut crowd = going(&pace, "a", 20, 60);
    tokio::task::yield_now().await;
    throttled.used(Feedback::Throttled);
    let start = Instant::now();
    pace.turn(&lane, &b, within(60)).await.unwrap().used(Feedback::Counted);
    assert!(start.elapsed() <= Duration::from_millis(260), "{:?}", start.elapsed());
    crowd.abort_all();
}

#[tokio::test(start_paused = true)]
async fn bulk_calls_let_interactive_ones_pass() {
    let pace = pace();
    let lane = lane("eu-west-1");
    let (bulk, who) = (id("a"), id("b"));
    let waits = (0..50).map(|_| pace.bulk_turn(&lane, &bulk, within(60)));
    let mut waits = Box::pin(join_all(waits));
    let interactive = async {
        tokio::task::yield_now().await;
        let start = Instant::now();
        pace.turn(&lane, &who, within(60)).await.unwrap().used(Feedback::Counted);
        start.elapsed()
    };
    let waited = tokio::select! {
        _ = &mut waits => panic!("bulk calls were first"),
        waited = interactive => waited,
    };
    assert!(waited <= Duration::from_millis(210), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_raised_holds_for_those_who_wait() {
    let pace = pace();
    let all = going(&pace, "a", 101, 60);
    tokio::task::yield_now().await;
    let fifty = std::num::NonZeroU32::new(50).unwrap();
    pace.set_upstream(Upstream { associate_per_second: Some(fifty), ..Upstream::default() });
    let went = all.join_all().await.into_iter().map(Result::unwrap).max().unwrap();
    assert!((2_000..=2_400).contains(&went), "{went}");
}

#[tokio::test(start_paused = true)]
async fn an_account_can_have_a_quota_of_its_own() {
    let fifty = std::num::NonZeroU32::new(50).unwrap();
    let raised = Upstream { associate_per_second: Some(fifty), ..Upstream::default() };
    let accounts = [("111122223333".parse().unwrap(), raised)].into();
    let pace = LocalPace::new(crate::limit::Upstreams { accounts, ..Default::default() }, Waiting::default());
    let went = going(&Arc::new(pace), "a", 101, 60).join_all().await;
    let last = went.into_iter().map(Result::unwrap).max().unwrap();
    assert!((2_000..=2_300).contains(&last), "{last}");
}

#[tokio::test(start_paused = true)]
async fn the_queue_has_a_bound() {
    let n = |value| NonZeroUsize::new(value).unwrap();
    let bounds = Waiting { per_lane: n(10), per_tenant: n(6) };
    let pace = Arc::new(LocalPace::new(Upstream::default(), bounds));
    let ended = going(&pace, "a", 30, 600).join_all().await;
    assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 7, "one goes at once and six wait");
}

#[tokio::test(start_paused = true)]
async fn lanes_at_rest_are_forgotten() {
    let pace = pace();
    let a = id("a");
    for i in 0..20 * FIRST_SWEEP {
        pace.turn(&lane(&format!("eu-west-{i}")), &a, within(1)).await.unwrap().used(Feedback::Counted);
        if i % 100 == 0 {
            advance(Duration::from_secs(1)).await;
        }
    }
    assert!(pace.tracked() <= 2 * FIRST_SWEEP, "{}", pace.tracked());
}

#[tokio::test(start_paused = true)]
async fn both_kinds_of_calls_have_their_share_while_the_other_never_ends() {
    let pace = pace();
    let mut set = JoinSet::new();
    for nth in 0..200 {
        let pace = Arc::clone(&pace);
        set.spawn(async move {
            let (lane, who, bulk) = (lane("eu-west-1"), id(["a", "b"][nth / 100]), nth % 2 == 0);
            let turn = if bulk {
                pace.bulk_turn(&lane, &who, within(3_600)).await
            } else {
                pace.turn(&lane, &who, within(3_600)).await
            };
            turn.unwrap().used(Feedback::Counted);
            (Instant::now(), bulk)
        });
    }
    let mut went = set.join_all().await;
    went.sort_unstable();
    let of_bulk = went[..100].iter().filter(|(_, bulk)| *bulk).count();
    assert!((19..=21).contains(&of_bulk), "{of_bulk} of the first hundred turns");
}
