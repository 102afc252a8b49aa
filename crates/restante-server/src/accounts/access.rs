//! From where an account may be used, and whether at all.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Obstacle;

/// What restricts logins to an account. The default restricts nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    /// Dovecot's `nologin`: nobody logs in; mail is still delivered.
    pub nologin: bool,
    /// Dovecot's `allow_nets`: logins come from one of these networks. `None` means from
    /// anywhere; an empty list means from nowhere.
    pub networks: Option<Vec<IpNet>>,
    /// Something that may restrict and is not understood: nobody logs in until it is put right.
    pub obstacle: Option<Obstacle>,
}

impl Access {
    /// Whether the restrictions that are understood let a client from `address` in.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        // A dual-stack socket shows IPv4 clients as ::ffff:a.b.c.d.
        let address = address.to_canonical();
        let within = |networks: &Vec<IpNet>| networks.iter().any(|net| net.contains(&address));
        !self.nologin && self.networks.as_ref().is_none_or(within)
    }
}

/// Reads the value of `allow_nets`: addresses and networks, separated by commas.
///
/// `local` stands for Dovecot's own sockets; no POP3 client comes from there. `None` if anything
/// else is no address and no network.
pub(super) fn parse_networks(value: &str) -> Option<Vec<IpNet>> {
    let mut networks = Vec::new();
    for text in value
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        if text == "local" {
            continue;
        }
        let network = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .ok()?;
        networks.push(canonical(network));
    }
    Some(networks)
}

/// `::ffff:10.0.0.0/104` means `10.0.0.0/8`.
fn canonical(network: IpNet) -> IpNet {
    match (network, network.addr().to_canonical()) {
        (IpNet::V6(v6), IpAddr::V4(v4)) => match v6.prefix_len().checked_sub(96) {
            Some(length) => IpNet::new_assert(v4.into(), length),
            None => network,
        },
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(networks: &str, address: &str) -> bool {
        let networks = Some(parse_networks(networks).unwrap());
        Access {
            networks,
            ..Access::default()
        }
        .permits(address.parse().unwrap())
    }

    #[test]
    fn allow_nets_takes_networks_and_addresses_of_both_families() {
        let networks = "10.1.0.0/16, 192.0.2.7,2001:db8::/32,::1";
        for inside in [
            "10.1.255.255",
            "192.0.2.7",
            "2001:db8:ffff::1",
            "::1",
            "::ffff:10.1.2.3",
        ] {
            assert!(permits(networks, inside), "{inside}");
        }
        for outside in ["10.2.0.0", "192.0.2.8", "2001:db9::1", "::2", "127.0.0.1"] {
            assert!(!permits(networks, outside), "{outside}");
        }
        assert!(permits("::ffff:10.0.0.0/104", "10.9.9.9"));
        assert!(!permits("::ffff:10.0.0.0/104", "11.0.0.1"));
    }

    #[test]
    fn allow_nets_that_name_nothing_let_nobody_in() {
        for nothing in ["", "local", " , "] {
            assert!(!permits(nothing, "127.0.0.1"), "{nothing:?}");
        }
    }

    #[test]
    fn allow_nets_that_are_not_understood_are_not_guessed() {
        for bad in [
            "10.0.0",
            "10.0.0.0/33",
            "localhost",
            "10.0.0.1;10.0.0.2",
            "10.0.0.0/8/8",
            "::1/129",
        ] {
            assert_eq!(parse_networks(bad), None, "{bad}");
        }
    }

    #[test]
    fn nologin_lets_nobody_in() {
        let access = Access {
            nologin: true,
            ..Access::default()
        };
        assert!(!access.permits("127.0.0.1".parse().unwrap()));
        assert!(Access::default().permits("127.0.0.1".parse().unwrap()));
    }
}
