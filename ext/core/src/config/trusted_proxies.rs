//! The addresses of the proxies in front of the server.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::Deserialize;

/// The addresses that a trusted proxy may have. The default is: none.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(try_from = "Vec<String>")]
pub struct TrustedProxies {
    networks: Vec<Network>,
    unix: bool,
}

const LOOPBACK: [Network; 2] = [Network::v4(Ipv4Addr::new(127, 0, 0, 0), 8), Network::v6(Ipv6Addr::LOCALHOST, 128)];
/// RFC 1918 and RFC 4193.
const PRIVATE: [Network; 4] = [
    Network::v4(Ipv4Addr::new(10, 0, 0, 0), 8),
    Network::v4(Ipv4Addr::new(172, 16, 0, 0), 12),
    Network::v4(Ipv4Addr::new(192, 168, 0, 0), 16),
    Network::v6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
];

impl TrustedProxies {
    /// Whether a proxy may have `address`; `None` stands for a Unix socket.
    pub(crate) fn contains(&self, address: Option<IpAddr>) -> bool {
        match address.map(|address| address.to_canonical()) {
            None => self.unix,
            Some(address) => self.networks.iter().any(|network| network.contains(address)),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }
}

impl TryFrom<Vec<String>> for TrustedProxies {
    type Error = String;

    /// Addresses, networks (`10.0.0.0/8`), and words: `loopback`, `private`, `unix`.
    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let mut proxies = Self::default();
        for name in &names {
            match name.as_str() {
                "loopback" => proxies.networks.extend(LOOPBACK),
                "private" => proxies.networks.extend(PRIVATE),
                "unix" => proxies.unix = true,
                network => proxies.networks.push(Network::parse(network)?),
            }
        }
        Ok(proxies)
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unix = self.unix.then_some("unix".to_owned());
        f.debug_list().entries(self.networks.iter().map(Network::to_string).chain(unix)).finish()
    }
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: IpAddr,
    /// How many bits they have in common.
    length: u32,
}

impl Network {
    const fn v4(first: Ipv4Addr, length: u32) -> Self {
        Self { first: IpAddr::V4(first), length }
    }

    const fn v6(first: Ipv6Addr, length: u32) -> Self {
        Self { first: IpAddr::V6(first), length }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is neither an IP address nor a network such as 10.0.0.0/8, loopback, private or unix");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) if length.bytes().all(|byte| byte.is_ascii_digit()) => (address, Some(length)),
            Some(_) => return Err(wrong()),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(bits), |length| length.parse().map_err(|_| wrong()))?;
        if length > bits {
            return Err(wrong());
        }
        let network = Self { first: address, length }.first_of_it();
        if network.first != address {
            return Err(format!("{text:?} names an address in a network: the network is {network}"));
        }
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8: addresses are compared in their shorter form.
        match (network.first.to_canonical(), network.length.checked_sub(96)) {
            (IpAddr::V4(first), Some(length)) if address.is_ipv6() => Ok(Self::v4(first, length)),
            _ => Ok(network),
        }
    }

    fn first_of_it(self) -> Self {
        let first = match self.first {
            IpAddr::V4(ip) => Ipv4Addr::from(ip.to_bits() & mask(self.length, 32) as u32).into(),
            IpAddr::V6(ip) => Ipv6Addr::from(ip.to_bits() & mask(self.length, 128)).into(),
        };
        Self { first, ..self }
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()) & mask(self.length, 32) as u32 == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()) & mask(self.length, 128) == 0
            }
            _ => false,
        }
    }
}

/// The first `length` of so many bits.
fn mask(length: u32, bits: u32) -> u128 {
    u128::MAX.checked_shl(bits - length).unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proxies(names: &[&str]) -> Result<TrustedProxies, String> {
        names.iter().map(ToString::to_string).collect::<Vec<_>>().try_into()
    }

    fn trusts(names: &[&str], address: &str) -> bool {
        proxies(names).unwrap().contains(Some(address.parse().unwrap()))
    }

    #[test]
    fn trusts_nothing_by_default() {
        assert!(!trusts(&[], "127.0.0.1"));
        assert!(TrustedProxies::default().is_empty() && !TrustedProxies::default().contains(None));
    }

    #[test]
    fn trusts_addresses_and_networks() {
        for (name, inside, outside) in [
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("2001:db8::7", "2001:db8::7", "2001:db8::8"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("0.0.0.0/0", "203.0.113.1", "::1"),
            ("::/0", "2001:db8::1", "203.0.113.1"),
            ("loopback", "127.9.9.9", "128.0.0.1"),
            ("loopback", "::1", "::2"),
            ("private", "172.31.255.255", "172.32.0.0"),
            ("private", "fd00::1", "fe80::1"),
        ] {
            assert!(trusts(&[name], inside), "{name} {inside}");
            assert!(!trusts(&[name], outside), "{name} {outside}");
        }
        assert!(proxies(&["unix"]).unwrap().contains(None) && !trusts(&["unix"], "127.0.0.1"));
    }

    #[test]
    fn says_what_is_wrong() {
        for wrong in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "localhost",
            "10.0.0",
            "10.0.0.0/8/8",
            "::1%eth0",
        ] {
            assert!(proxies(&[wrong]).unwrap_err().contains("is neither an IP address"), "{wrong}");
        }
        let slip = proxies(&["10.0.0.1/8"]).unwrap_err();
        assert!(slip.ends_with("the network is 10.0.0.0/8"), "{slip}");
    }

    proptest! {
        #[test]
        fn a_network_is_what_begins_with_its_bits(ip: u32, other: u32, length in 0_u32..=32) {
            let network = Network::v4(ip.into(), length).first_of_it();
            let same = (0..length).all(|bit| (ip ^ other) >> (31 - bit) & 1 == 0);
            prop_assert_eq!(network.contains(Ipv4Addr::from(other).into()), same);
        }

        #[test]
        fn what_is_printed_is_read_again(ip: u128, length in 0_u32..=128) {
            let network = Network::v6(ip.into(), length).first_of_it();
            if Ipv6Addr::from(ip).to_ipv4_mapped().is_none() {
                prop_assert_eq!(Network::parse(&network.to_string()), Ok(network));
            }
        }
    }
}
