//! Which addresses a request must not reach: link-local ones, among them the metadata services of clouds, which hand out
//! credentials to whoever asks from the machine. The address that is connected to is looked at, not the name or its spelling.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services outside of the link-local networks: Alibaba's and Oracle's.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];

/// Those of Amazon and Google.
const METADATA_V6: [Ipv6Addr; 2] = [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Whether the address is link-local or a metadata service, also when it is an IPv4 address written as an IPv6 one.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || METADATA_V4.contains(&address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || METADATA_V6.contains(&address)
                || embedded(address).is_some_and(|v4| is_link_local(v4.into()))
        }
    }
}

/// The IPv4 address inside of a mapped (`::ffff:a.b.c.d`), compatible (`::a.b.c.d`), translated (`64:ff9b::a.b.c.d`, RFC 6052) or
/// 6to4 (`2002:abcd::`) address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_reached() {
        for (address, refused) in [
            ("169.254.169.254", true),
            ("169.254.0.1", true),
            ("169.253.255.255", false),
            ("100.100.100.200", true),
            ("192.0.0.192", true),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("192.168.1.1", false),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("fd00:ec2::254", true),
            ("fd00:ec2::253", false),
            ("fd20:ce::254", true),
            ("::ffff:169.254.169.254", true),
            ("::ffff:10.0.0.1", false),
            ("::169.254.169.254", true),
            ("64:ff9b::169.254.169.254", true),
            ("2002:a9fe:a9fe::1", true),
            ("::1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_link_local(address.parse().expect("an address")), refused, "{address}");
        }
    }
}
