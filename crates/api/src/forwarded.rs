//! Who asks through a proxy: `X-Forwarded-For` and `X-Forwarded-Proto`, which anybody can write, and
//! which therefore count only from proxies that the operator named.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use strongroom_types::Transport;

use crate::server::ConnectionInfo;

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

/// Proxies that are believed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TrustedProxies(Vec<Cidr>);

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no address range, such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().map_err(|_| wrong())?,
            None => widest,
        };
        if bits > widest {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

impl Cidr {
    /// Whether the address is in the range. IPv4 addresses in IPv6 dress are IPv4 addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32_u32.saturating_sub(self.bits.into());
                let cut = |it: u32| it.checked_shr(shift).unwrap_or(0);
                cut(own.to_bits()) == cut(other.to_bits())
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128_u32.saturating_sub(self.bits.into());
                let cut = |it: u128| it.checked_shr(shift).unwrap_or(0);
                cut(own.to_bits()) == cut(other.to_bits())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl TrustedProxies {
    /// These, and no others.
    pub fn new(ranges: Vec<Cidr>) -> Self {
        Self(ranges)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// The connection as decisions see it: through trusted proxies to the right-most address that is
    /// not one of theirs. Of everybody else's headers nothing counts.
    pub(crate) fn see_through(
        &self,
        headers: &HeaderMap,
        connection: ConnectionInfo,
    ) -> ConnectionInfo {
        if !self.trusts(connection.peer.ip()) {
            return connection;
        }
        let protocols = values(headers, "x-forwarded-proto");
        let addresses = values(headers, "x-forwarded-for");
        if protocols.is_empty() && addresses.is_empty() {
            // The proxy asks for itself.
            return connection;
        }
        let mut client = connection.peer.ip();
        for text in addresses.iter().rev() {
            // Behind what nobody can read is nobody that could be named.
            let Some(address) = address(text) else { break };
            client = address;
            if !self.trusts(address) {
                break;
            }
        }
        // The nearest proxy's word is the last one.
        let client_uses_tls = protocols
            .last()
            .is_some_and(|it| it.eq_ignore_ascii_case("https"));
        let hop_is_confidential = match connection.transport {
            Transport::Tls(_) => true,
            Transport::Plain => connection.peer.ip().to_canonical().is_loopback(),
            Transport::Forwarded {
                hop_is_confidential,
                ..
            } => hop_is_confidential,
        };
        ConnectionInfo {
            peer: SocketAddr::new(client, 0),
            local: connection.local,
            transport: Transport::Forwarded {
                client_uses_tls,
                hop_is_confidential,
            },
            cipher_suite: None,
        }
    }
}

/// The elements of all headers of a name. One that is no text makes an element that is no address.
fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(str::trim)
        .collect()
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let parsed = text
        .parse()
        .ok()
        .or_else(|| text.parse().ok().map(|it: SocketAddr| it.ip()))
        .or_else(|| {
            let inner = text.strip_prefix('[')?.strip_suffix(']')?;
            inner.parse().ok()
        });
    parsed.map(|it: IpAddr| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use strongroom_types::TlsVersion;

    use super::*;

    fn see(trusted: &[&str], peer: &str, headers: &[(&'static str, &str)]) -> (String, Transport) {
        let proxies = TrustedProxies::new(trusted.iter().map(|it| it.parse().unwrap()).collect());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let connection = ConnectionInfo {
            peer: SocketAddr::new(peer.parse().unwrap(), 5),
            local: "127.0.0.1:9000".parse().unwrap(),
            transport: Transport::Plain,
            cipher_suite: None,
        };
        let seen = proxies.see_through(&map, connection);
        (seen.peer.ip().to_string(), seen.transport)
    }

    const FOR: &str = "x-forwarded-for";
    const PROTO: &str = "x-forwarded-proto";

    #[test]
    fn nobody_but_a_named_proxy_is_believed() {
        let forged = [(FOR, "10.1.1.1"), (PROTO, "https")];
        for trusted in [&[][..], &["10.0.0.0/8"], &["192.0.2.8"]] {
            let seen = see(trusted, "192.0.2.7", &forged);
            assert_eq!(seen, ("192.0.2.7".to_owned(), Transport::Plain));
        }
        let (seen, transport) = see(&["192.0.2.0/24"], "192.0.2.7", &forged);
        assert_eq!(seen, "10.1.1.1");
        assert!(transport.is_secure());
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_counts() {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        for (forwarded, seen) in [
            ("198.51.100.1", "198.51.100.1"),
            // What a client wrote itself is left of what the proxy saw.
            ("127.0.0.1, 198.51.100.1", "198.51.100.1"),
            ("198.51.100.1, 10.0.0.9", "198.51.100.1"),
            ("198.51.100.1, 10.0.0.9, 2001:db8::1", "198.51.100.1"),
            ("10.0.0.8, 10.0.0.9", "10.0.0.8"),
            ("198.51.100.1:4711", "198.51.100.1"),
            ("[2001:db9::1]:80", "2001:db9::1"),
            ("[2001:db9::1]", "2001:db9::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("198.51.100.1, unknown", "10.0.0.1"),
            ("198.51.100.1, unknown, 10.0.0.9", "10.0.0.9"),
            ("198.51.100.1,", "10.0.0.1"),
        ] {
            let (found, _) = see(&trusted, "10.0.0.1", &[(FOR, forwarded)]);
            assert_eq!(found, seen, "{forwarded}");
        }
        let lines = [(FOR, "127.0.0.1"), (FOR, "198.51.100.1")];
        assert_eq!(see(&trusted, "10.0.0.1", &lines).0, "198.51.100.1");
    }

    #[test]
    fn the_nearest_proxy_says_how_the_client_came() {
        let secure = |proto: &[(&'static str, &str)]| {
            let headers = [&[(FOR, "198.51.100.1")], proto].concat();
            see(&["10.0.0.1"], "10.0.0.1", &headers).1.is_secure()
        };
        assert!(secure(&[(PROTO, "https")]) && secure(&[(PROTO, "http, HTTPS")]));
        assert!(!secure(&[]) && !secure(&[(PROTO, "https, http")]));
        assert!(!secure(&[(PROTO, "https"), (PROTO, "http")]));
        // A proxy that forwards nothing asks for itself.
        let own = see(&["10.0.0.1"], "10.0.0.1", &[]);
        assert_eq!(own, ("10.0.0.1".to_owned(), Transport::Plain));
    }

    #[test]
    fn no_header_makes_a_plain_hop_confidential() {
        let transport = |peer| {
            let headers = [(FOR, "127.0.0.1"), (PROTO, "https")];
            see(&["0.0.0.0/0"], peer, &headers).1
        };
        assert!(!transport("192.0.2.7").is_confidential("127.0.0.1".parse().unwrap()));
        assert!(transport("127.0.0.1").is_confidential("192.0.2.7".parse().unwrap()));
        // And a client that came to the proxy in the clear is not helped by a good hop.
        let (_, plain) = see(&["127.0.0.1"], "127.0.0.1", &[(FOR, "127.0.0.1")]);
        assert!(!plain.is_confidential("127.0.0.1".parse().unwrap()));
        assert!(Transport::Tls(TlsVersion::V1_3).is_confidential("192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn ranges_are_read_strictly() {
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10/8",
            "10.0.0.0/-1",
            "host",
            "10.0.0.0/8/8",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("255.1.1.1".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
        assert!(all.contains("::ffff:1.2.3.4".parse().unwrap()));
    }
}
