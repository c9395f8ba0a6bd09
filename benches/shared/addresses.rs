//! Free local addresses, for a server that cannot report the address that it chose.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// Different local addresses with free ports.
pub(crate) fn free_addresses<const N: usize>() -> io::Result<[SocketAddr; N]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    // Bind all before releasing any, so that no two are equal.
    let mut listeners = Vec::with_capacity(N);
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(addresses)
}
