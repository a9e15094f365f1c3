//! How much of an address is stored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How much of a visitor's address is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// The network: the first 24 bits of an IPv4 address, the first 48 of an IPv6 address.
    Truncated,
    /// All of it (of an IPv6 address, the first 64 bits).
    Full,
    /// Nothing.
    None,
}

impl Addresses {
    /// What is stored of this address.
    pub fn kept(self, address: IpAddr) -> Option<IpAddr> {
        match (self, address.to_canonical()) {
            (Self::None, _) => None,
            (Self::Full, v4 @ IpAddr::V4(_)) => Some(v4),
            (Self::Full, IpAddr::V6(v6)) => {
                let [a, b, c, d, ..] = v6.segments();
                Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            (Self::Truncated, IpAddr::V4(v4)) => {
                let [a, b, c, _] = v4.octets();
                Some(Ipv4Addr::new(a, b, c, 0).into())
            }
            (Self::Truncated, IpAddr::V6(v6)) => {
                let [a, b, c, ..] = v6.segments();
                Some(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_cut_to_its_network() {
        for (address, truncated, full) in [
            ("203.0.113.77", "203.0.113.0", "203.0.113.77"),
            ("::ffff:203.0.113.77", "203.0.113.0", "203.0.113.77"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::", "2001:db8:1:2::"),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(Addresses::Truncated.kept(address), truncated.parse().ok());
            assert_eq!(Addresses::Full.kept(address), full.parse().ok());
            assert_eq!(Addresses::None.kept(address), None);
        }
    }
}
