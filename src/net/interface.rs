//! The addresses of this machine's networks.

use crate::failure::Failure;
use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
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

/// The address of a network interface, of the same kind (IPv4 or IPv6) as `like`.
///
/// # Errors
/// If there is no such interface, or none with such an address.
fn address_of(interface: &str, like: IpAddr) -> Result<IpAddr, Failure> {
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
