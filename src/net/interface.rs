//! The addresses of this machine's networks.

use crate::failure::Failure;
use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use sysinfo::Networks;

/// The address at which this process is to be reached, at any free port: that of the interface, or else `towards`, the
/// one by which it has reached another.
///
/// # Errors
/// If there is no such interface, or it has no address of this kind.
pub fn own_address(towards: SocketAddr, interface: Option<&str>) -> Result<SocketAddr, Failure> {
    let mut own = towards;
    own.set_port(0);
    if let Some(interface) = interface {
        own.set_ip(address_of(interface, towards.ip())?);
    }
    Ok(own)
}

/// A port of which nothing is asked: the way to a machine is the same for all.
const ANY_PORT: u16 = 9;

/// The address of this machine at which it is reached from others, who are at these, names or numbers. It is one on
/// loopback only if nothing else leads to any of them: a machine may call itself so. Nothing is sent.
///
/// # Errors
/// If nothing leads to any of them.
pub fn address_towards(others: &[String]) -> Result<IpAddr, Failure> {
    let mut found = others.iter().filter_map(|other| own_end(other).ok()).peekable();
    let first = found.peek().copied();
    let best = found.find(|address| !address.is_loopback()).or(first);
    best.ok_or_else(|| {
        let some = others.first().map_or("", String::as_str);
        Failure::of_run(format!("this machine has no way to the nodes, as to {some}"))
    })
}

/// The address of this machine on the way to another.
fn own_end(other: &str) -> io::Result<IpAddr> {
    let other = (other, ANY_PORT).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let any: IpAddr =
        if other.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(other)?;
    Ok(socket.local_addr()?.ip())
}

/// The address of a network interface, of the same kind (IPv4 or IPv6) as `like`.
///
/// # Errors
/// If there is no such interface, or none with such an address.
pub fn address_of(interface: &str, like: IpAddr) -> Result<IpAddr, Failure> {
    let networks = Networks::new_with_refreshed_list().map_err(Failure::of_request)?;
    let Some(found) = networks.get(OsStr::new(interface)) else {
        let mut names: Vec<_> = networks.keys().map(|name| name.to_string_lossy()).collect();
        names.sort_unstable();
        let names = names.join(", ");
        return Err(Failure::of_request(format!("there is no network interface {interface}, only {names}")));
    };
    let mut addresses = found.ip_networks().iter().map(|network| network.addr);
    addresses.find(|address| address.is_ipv4() == like.is_ipv4()).ok_or_else(|| {
        let kind = if like.is_ipv4() { "IPv4" } else { "IPv6" };
        Failure::of_request(format!("the network interface {interface} has no {kind} address"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_reached_from_itself_and_from_nowhere_if_there_is_no_way() {
        let towards =
            |others: &[&str]| address_towards(&others.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(towards(&["127.0.0.1"]).unwrap().is_loopback());
        assert!(towards(&["no such name", "127.0.0.1"]).unwrap().is_loopback());
        let lost = towards(&["no such name"]).unwrap_err();
        assert!(lost.message.contains("no way to the nodes, as to no such name"), "{lost}");
    }
}
