//! Which connections are admitted, and which make room.

use super::*;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

fn limiter(limits: ConnectionLimits) -> ConnectionLimiter {
    ConnectionLimiter::new(limits, TrustedProxies::default())
}

fn admit(limiter: &ConnectionLimiter, address: IpAddr) -> Option<Arc<ConnectionPermit>> {
    limiter.register(address).admit()
}

#[test]
fn the_oldest_silent_connection_of_the_busiest_address_is_displaced() {
    let limiter = limiter(ConnectionLimits { max_silent: 3, ..ConnectionLimits::default() });
    let silent: Vec<_> = [B, A, A, A, A].map(|address| limiter.register(address)).into_iter().collect();
    let displaced: Vec<_> = silent.iter().map(|one| one.displaced.is_cancelled()).collect();
    assert_eq!(displaced, [false, true, true, false, false]);
    drop(silent);
    assert_eq!(limiter.state.lock().silent.len(), 0);
}

#[test]
fn an_address_with_valid_tokens_only_cannot_use_all_connections() {
    let limiter = limiter(ConnectionLimits { max: 3, max_per_address: 2, ..ConnectionLimits::default() });
    let mut permits: Vec<_> = (0..2).map(|_| admit(&limiter, A).unwrap()).collect();
    for permit in &permits {
        permit.set_authenticated();
    }
    assert!(admit(&limiter, A).is_none());
    permits.push(admit(&limiter, B).unwrap());
    for permit in &permits {
        permit.set_authenticated();
    }
    assert!(admit(&limiter, B).is_none());
    drop(permits);
    assert!(limiter.state.lock().by_address.is_empty());
    assert!(admit(&limiter, A).is_some());
}

#[test]
fn at_each_limit_the_oldest_connection_without_a_token_makes_room() {
    let all = ConnectionLimits { max: 3, ..ConnectionLimits::default() };
    let of_address = ConnectionLimits { max_per_address: 3, ..ConnectionLimits::default() };
    let anonymous = ConnectionLimits { max_anonymous: 2, ..ConnectionLimits::default() };
    for limits in [all, of_address, anonymous] {
        let limiter = limiter(limits);
        let authenticated = admit(&limiter, A).unwrap();
        authenticated.set_authenticated();
        let permits = [authenticated, admit(&limiter, A).unwrap(), admit(&limiter, A).unwrap()];
        let newest = admit(&limiter, A).unwrap();
        let displaced: Vec<_> =
            permits.iter().chain([&newest]).map(|permit| permit.displaced.is_cancelled()).collect();
        assert_eq!(displaced, [false, true, false, false], "{limits:?}");
    }
}

#[test]
fn a_single_connection_is_not_displaced_by_those_of_a_busy_address() {
    let limiter = limiter(ConnectionLimits { max: 10, max_per_address: 100, ..ConnectionLimits::default() });
    let single = admit(&limiter, B).unwrap();
    let busy: Vec<_> = (0..100).map(|_| admit(&limiter, A).unwrap()).collect();
    assert!(!single.displaced.is_cancelled());
    assert_eq!(busy.iter().filter(|permit| !permit.displaced.is_cancelled()).count(), 9);
}

#[test]
fn a_closed_connection_leaves_nothing_behind() {
    let limiter = limiter(ConnectionLimits { max: 2, ..ConnectionLimits::default() });
    for round in 0..100 {
        let permit = admit(&limiter, A).unwrap();
        if round % 2 == 0 {
            permit.set_authenticated();
        }
    }
    let state = limiter.state.lock();
    assert_eq!((state.admitted, state.anonymous.len(), state.silent.len()), (0, 0, 0));
    assert!(state.by_address.is_empty());
}

#[test]
fn an_ipv6_64_is_one_address() {
    let limiter = limiter(ConnectionLimits { max_per_address: 2, ..ConnectionLimits::default() });
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let permits: Vec<_> = ["2001:db8::1", "2001:db8::ffff:2"]
        .map(|text| admit(&limiter, address(text)).unwrap())
        .into_iter()
        .inspect(|permit| permit.set_authenticated())
        .collect();
    assert!(admit(&limiter, address("2001:db8::3")).is_none());
    assert!(admit(&limiter, address("2001:db8:0:1::3")).is_some());
    assert_eq!(permits.len(), 2);
}

#[test]
fn a_trusted_proxy_has_no_limit_per_address() {
    let limits = ConnectionLimits { max: 5, max_per_address: 2, ..ConnectionLimits::default() };
    let limiter = ConnectionLimiter::new(limits, ["192.0.2.1/32".parse().unwrap()].into_iter().collect());
    let permits: Vec<_> = (0..5).map(|_| admit(&limiter, A).unwrap()).collect();
    for permit in &permits {
        permit.set_authenticated();
    }
    assert!(admit(&limiter, A).is_none(), "the total limit applies to proxies too");
}
