//! Where a service is.

use std::net::{IpAddr, SocketAddr};

use http::Uri;

/// A service's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// As the `Host` header has it.
    pub(super) authority: String,
}

impl Endpoint {
    /// An address over HTTPS, or on this machine.
    ///
    /// # Errors
    ///
    /// In words, for people.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let endpoint = Self::of_service(url)?;
        let is_near = endpoint.host == "localhost"
            || endpoint
                .host
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        if !endpoint.secure && !is_near {
            return Err(format!(
                "{url} is plain HTTP: anyone on the way would read what opens the key ring; use https"
            ));
        }
        Ok(endpoint)
    }

    /// An address of any service, over HTTPS or plain HTTP.
    ///
    /// # Errors
    ///
    /// In words, for people.
    pub(crate) fn of_service(url: &str) -> Result<Self, String> {
        let wrong =
            || format!("{url:?} is no address of a service; https://HOST or https://HOST:PORT is");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong()),
        };
        let is_plain =
            uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if !is_plain || host.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            secure,
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
            host,
            authority: authority.to_string(),
        })
    }

    /// What the name resolves to.
    ///
    /// # Errors
    ///
    /// In words, for people.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        use std::net::ToSocketAddrs as _;
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        found
            .map(Iterator::collect)
            .map_err(|error| format!("{}: {error}", self.url))
    }
}
