//! File descriptors: raises the limit of the process, and leaves some for everything besides the connections of
//! callers, so that the admin port, the store and the calls to AWS always get one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use crate::server::ConnectionLimits;

/// What the service needs besides the connections of callers: the admin port, the store, its files, and the
/// connections to AWS, issuers and Redis.
const RESERVED: u64 = 512;
/// The fewest connections that are worth serving.
const MIN_CONNECTIONS: u64 = 64;

/// The process may not open enough files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the process may open {limit} files, which is too few: allow at least {min} (LimitNOFILE in systemd, `ulimit -n` in a shell)"
)]
pub struct TooFewDescriptors {
    limit: u64,
    min: u64,
}

/// Raises the limit as far as the system allows and these limits need. If that is not enough, returns lower
/// limits, which leave the reserved descriptors free.
///
/// # Errors
///
/// [`TooFewDescriptors`].
pub fn reserve(limits: ConnectionLimits) -> Result<ConnectionLimits, TooFewDescriptors> {
    let needed = needed(&limits);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is no limit.
    let possible = maximum.map_or(needed, |maximum| maximum.min(needed));
    let mut limit = current.unwrap_or(u64::MAX);
    if limit < possible && setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum }).is_ok() {
        limit = possible;
    }
    let fitting = fit(limits, limit)?;
    if fitting != limits {
        tracing::warn!(
            limit,
            needed,
            max_connections = fitting.max,
            "the process may open too few files for server.max_connections, so it accepts fewer connections: raise \
             LimitNOFILE or ulimit -n"
        );
    }
    Ok(fitting)
}

fn needed(limits: &ConnectionLimits) -> u64 {
    let connections = limits.max.saturating_add(limits.max_silent);
    u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(RESERVED)
}

/// The limits that leave [`RESERVED`] descriptors of this number free.
fn fit(limits: ConnectionLimits, descriptors: u64) -> Result<ConnectionLimits, TooFewDescriptors> {
    if needed(&limits) <= descriptors {
        return Ok(limits);
    }
    let free = descriptors.saturating_sub(RESERVED);
    if free < MIN_CONNECTIONS {
        return Err(TooFewDescriptors { limit: descriptors, min: RESERVED + MIN_CONNECTIONS });
    }
    let free = usize::try_from(free).unwrap_or(usize::MAX);
    let max_silent = limits.max_silent.min(free / 4);
    let max = limits.max.min(free - max_silent);
    Ok(ConnectionLimits {
        max,
        max_silent,
        max_per_address: limits.max_per_address.min(max),
        max_anonymous: limits.max_anonymous.min(max),
        ..limits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_reserved_descriptors_free() {
        let limits = ConnectionLimits::default();
        assert_eq!(fit(limits, 65_536), Ok(limits));
        let small = fit(limits, 1_024).unwrap();
        assert_eq!((small.max, small.max_silent), (384, 128));
        assert_eq!(needed(&small), 1_024);
        assert!(small.max_anonymous <= small.max && small.max_per_address <= small.max);
        assert_eq!(fit(limits, 256), Err(TooFewDescriptors { limit: 256, min: 576 }));
    }

    #[test]
    fn the_limit_of_the_process_is_raised() {
        reserve(ConnectionLimits { max: 100, max_silent: 10, ..ConnectionLimits::default() }).unwrap();
        assert!(getrlimit(Resource::Nofile).current.is_none_or(|limit| limit >= 622));
    }
}
