//! Ranges of network addresses. Pure; knows no I/O.

use std::net::IpAddr;
use std::str::FromStr;

/// All addresses that begin alike: `10.0.0.0/8`, `2001:db8::/32`, or one address alone.
///
/// An IPv4 address in IPv6's clothes (`::ffff:10.0.0.1`) is an IPv4 address, here and in what is
/// compared: a listener for both kinds shows IPv4 clients like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    is_ipv4: bool,
    /// The part that all of them have in common; the rest is zero.
    network: u128,
    /// Where that part is.
    mask: u128,
}

impl AddressRange {
    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (is_ipv4, bits) = bits_of(address);
        is_ipv4 == self.is_ipv4 && bits & self.mask == self.network
    }
}

/// Why a text is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It does not begin with an address.
    #[error("is no address; write it like \"10.0.0.0/8\" or \"::1\"")]
    Address,
    /// What stands behind `/` is not the number of bits that the addresses have in common.
    #[error("must have a number from 0 to {0} behind the '/'")]
    Length(u8),
    /// The address has bits outside of the part in common: which range is meant cannot be known.
    #[error(
        "does not begin its range; write \"{0}\" for the range, or leave \"/{1}\" out for the address"
    )]
    NotTheFirst(String, u8),
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (address, length) = match text.split_once('/') {
            None => (text, None),
            Some((address, length)) => (address, Some(length)),
        };
        let written: IpAddr = address.parse().map_err(|_error| RangeError::Address)?;
        let (is_ipv4, bits) = bits_of(written);
        let width: u8 = if is_ipv4 { 32 } else { 128 };
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
        let hidden: u8 = if is_ipv4 && written.is_ipv6() { 96 } else { 0 };
        let length = match length {
            None => width,
            Some(length) => read_length(length)
                .and_then(|length| length.checked_sub(hidden))
                .filter(|length| *length <= width)
                .ok_or(RangeError::Length(width + hidden))?,
        };
        let rest = ones(width - length);
        if bits & rest != 0 {
            let first = format!("{}/{length}", address_of(is_ipv4, bits & !rest));
            return Err(RangeError::NotTheFirst(first, length + hidden));
        }
        Ok(Self { is_ipv4, network: bits, mask: !rest })
    }
}

/// Digits alone: the standard parser takes a sign as well.
fn read_length(text: &str) -> Option<u8> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A number whose last `count` bits are ones, and the others zeros.
fn ones(count: u8) -> u128 {
    1_u128.checked_shl(u32::from(count)).map_or(u128::MAX, |power| power - 1)
}

fn bits_of(address: IpAddr) -> (bool, u128) {
    match address.to_canonical() {
        IpAddr::V4(address) => (true, u128::from(address.to_bits())),
        IpAddr::V6(address) => (false, address.to_bits()),
    }
}

fn address_of(is_ipv4: bool, bits: u128) -> IpAddr {
    match u32::try_from(bits) {
        Ok(bits) if is_ipv4 => std::net::Ipv4Addr::from_bits(bits).into(),
        Ok(_) | Err(_) => std::net::Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(range: &str, address: &str) -> bool {
        let range: AddressRange = range.parse().expect(range);
        range.contains(address.parse().expect(address))
    }

    #[test]
    fn a_range_has_what_begins_alike_and_nothing_else() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
            ("::1", "::1", "::2"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("::/0", "2001:db8::", "10.0.0.1"),
            ("::/0", "::", "::ffff:10.0.0.1"),
        ] {
            assert!(contains(range, inside), "{inside} is not in {range}");
            assert!(!contains(range, outside), "{outside} is in {range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_the_reason() {
        let reason = |text: &str| text.parse::<AddressRange>().expect_err(text).to_string();
        for text in ["", "x", "10.0.0", "010.0.0.1", "10.0.0.1:80", "[::1]", "*", "/8", " ::1"] {
            assert!(reason(text).starts_with("is no address"), "{text}: {}", reason(text));
        }
        for text in ["10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/x", "10.0.0.0/8/8"] {
            assert!(reason(text).contains("from 0 to 32"), "{text}: {}", reason(text));
        }
        for text in ["::/129", "::/999", "::ffff:10.0.0.0/8"] {
            assert!(reason(text).contains("from 0 to 128"), "{text}: {}", reason(text));
        }
        assert!(reason("10.1.2.3/8").contains("write \"10.0.0.0/8\""));
        assert!(reason("2001:db8::1/32").contains("write \"2001:db8::/32\""));
    }
}
