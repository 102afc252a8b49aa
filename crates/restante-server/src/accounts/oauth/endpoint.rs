//! Where an issuer is reached: over TLS, or on this very machine.

use std::{fmt, net::IpAddr};

use hyper::Uri;

/// A URL that tokens may be sent to or keys be believed from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint(Uri);

/// Why a URL is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It is not a URL with a host.
    #[error("it is not a URL")]
    NotUrl,
    /// Tokens and keys would travel for everybody to read and to change.
    #[error("it is neither `https://` nor on this machine")]
    Cleartext,
    /// Credentials have keys of their own.
    #[error("it has a user name in it")]
    User,
}

impl Endpoint {
    /// Reads a URL: `https://…`, or `http://` with a loopback address or `localhost`.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(url: &str) -> Result<Self, EndpointError> {
        let uri: Uri = url.parse().map_err(|_| EndpointError::NotUrl)?;
        let authority = uri.authority().ok_or(EndpointError::NotUrl)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::User);
        }
        let host = uri.host().unwrap_or_default();
        match uri.scheme_str() {
            None => Err(EndpointError::NotUrl),
            _ if host.is_empty() => Err(EndpointError::NotUrl),
            Some("https") => Ok(Self(uri)),
            Some("http") if is_loopback(host) => Ok(Self(uri)),
            _ => Err(EndpointError::Cleartext),
        }
    }

    /// The TCP port that it leads to.
    #[must_use]
    pub fn port(&self) -> u16 {
        let usual = match self.0.scheme_str() {
            Some("http") => 80,
            _ => 443,
        };
        self.0.port_u16().unwrap_or(usual)
    }

    pub(super) fn uri(&self) -> Uri {
        self.0.clone()
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(is_loopback)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_reached_over_tls_or_on_this_machine() {
        for good in [
            "https://id.example.com/introspect",
            "https://id.example.com:8443/a?b=c",
            "https://192.0.2.1/",
            "http://127.0.0.1:8080/keys",
            "http://127.8.8.8/",
            "http://[::1]:8080/keys",
            "http://localhost/keys",
        ] {
            assert!(Endpoint::new(good).is_ok(), "{good}");
        }
        for (url, port) in [
            ("https://id.example.com/", 443),
            ("https://id.example.com:8443/", 8443),
            ("http://[::1]/", 80),
            ("http://127.0.0.1:8080", 8080),
        ] {
            assert_eq!(Endpoint::new(url).unwrap().port(), port);
        }
        for (bad, error) in [
            ("", EndpointError::NotUrl),
            ("keys.json", EndpointError::NotUrl),
            ("/keys.json", EndpointError::NotUrl),
            ("https://", EndpointError::NotUrl),
            ("https://:443/", EndpointError::NotUrl),
            ("http://id.example.com/", EndpointError::Cleartext),
            ("http://127.0.0.1.example.com/", EndpointError::Cleartext),
            ("http://192.0.2.1/", EndpointError::Cleartext),
            ("http://localhost.example.com/", EndpointError::Cleartext),
            ("ftp://127.0.0.1/", EndpointError::Cleartext),
            ("https://a:b@id.example.com/", EndpointError::User),
            ("http://127.0.0.1@id.example.com/", EndpointError::User),
        ] {
            assert_eq!(Endpoint::new(bad), Err(error), "{bad}");
        }
    }
}
