//! What the server accepts at: sockets that systemd has opened for us (sd_listen_fds(3)) or else
//! our own. While systemd holds them, a restart refuses nobody.

use std::{
    env,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
};

use listenfd::ListenFd;
use restante_server::{
    BindError, Listeners, Transport,
    acme::ChallengeKind,
    control::{Handed, Inheritance, Purpose},
};

use super::explain_bind;
use crate::{configuration::Configuration, exit_code::ExitCode, failure::Failure};

/// A socket with the address that was asked for.
pub(super) type Asked = (SocketAddr, TcpListener);

/// What the server accepts at.
pub(super) struct Sockets {
    pub(super) listeners: Listeners,
    /// Whether somebody else has opened them.
    pub(super) are_lent: bool,
    /// For the pages of those who watch.
    pub(super) http: Vec<Asked>,
    /// For a certificate authority's challenges.
    pub(super) acme: Vec<Asked>,
    /// The server whose place this one takes.
    pub(super) inheritance: Option<Inheritance>,
}

/// Takes the sockets that were passed to this process, or opens those of the configuration. Call
/// it once, and while there is one thread: it changes the environment.
///
/// # Errors
/// One that was passed is of no use, or nothing says whether it is for TLS; an address cannot be
/// had.
pub(super) fn sockets(configuration: &Configuration) -> Result<Sockets, Failure> {
    if let Some(listeners) = passed(configuration)? {
        return Ok(Sockets {
            listeners,
            are_lent: true,
            http: http(configuration, Vec::new())?,
            acme: acme(configuration, Vec::new())?,
            inheritance: None,
        });
    }
    succeeding(configuration, None)
}

/// Takes those that a running server has handed over, and opens what else the configuration names.
///
/// # Errors
/// An address cannot be had.
pub(super) fn succeeding(
    configuration: &Configuration,
    mut inheritance: Option<Inheritance>,
) -> Result<Sockets, Failure> {
    let (mut pop3, mut pages, mut challenges) = (Vec::new(), Vec::new(), Vec::new());
    let handed = inheritance
        .iter_mut()
        .flat_map(|left| left.sockets.drain(..));
    for (Handed { purpose, asked }, socket) in handed {
        match purpose {
            Purpose::Pop3 => pop3.push((Transport::Plain, asked, socket)),
            Purpose::Pop3s => pop3.push((Transport::Tls, asked, socket)),
            Purpose::Http => pages.push((asked, socket)),
            Purpose::Acme => challenges.push((asked, socket)),
        }
    }
    let http = http(configuration, pages)?;
    let acme = acme(configuration, challenges)?;
    let wanted = &configuration.pop3;
    let listeners = Listeners::succeed(&wanted.listen, &wanted.listen_tls, pop3);
    Ok(Sockets {
        listeners: listeners.map_err(explain_bind)?,
        are_lent: false,
        http,
        acme,
        inheritance,
    })
}

fn http(configuration: &Configuration, mut inherited: Vec<Asked>) -> Result<Vec<Asked>, Failure> {
    let bind = |&address: &SocketAddr| {
        if let Some(index) = inherited.iter().position(|(asked, _)| *asked == address) {
            return Ok(inherited.swap_remove(index));
        }
        let bound = TcpListener::bind(address).map_err(|error| {
            Failure::new(ExitCode::Unavailable, format!("cannot listen on {address}"))
                .caused_by(error)
                .hint("`http.listen` names another address")
        });
        Ok((address, bound?))
    };
    configuration.http.iter().map(bind).collect()
}

fn acme(configuration: &Configuration, mut inherited: Vec<Asked>) -> Result<Vec<Asked>, Failure> {
    let Some(acme) = &configuration.tls.acme else {
        return Ok(Vec::new());
    };
    let is_chosen = configuration.sets("tls.acme.listen");
    let mut listeners = Vec::new();
    for &address in &acme.listen {
        if let Some(index) = inherited.iter().position(|(asked, _)| *asked == address) {
            listeners.push(inherited.swap_remove(index));
            continue;
        }
        match Listeners::bind(&[address], &[]) {
            Ok(bound) => listeners.extend(bound.into_bare().map(|socket| (address, socket))),
            // A machine may have no IPv6, and nobody has asked for it.
            Err(error) if is_missing_ipv6(&error) && !is_chosen => {
                tracing::info!(%address, error = %error.cause, "no challenges answered there");
            }
            Err(error) => return Err(explain_challenge_port(acme.challenge, error)),
        }
    }
    Ok(listeners)
}

fn is_missing_ipv6(error: &BindError) -> bool {
    error.address.is_ipv6() && error.cause.kind() != ErrorKind::AddrInUse
}

fn explain_challenge_port(challenge: ChallengeKind, error: BindError) -> Failure {
    let port = error.address.port();
    let hint = match error.cause.kind() {
        ErrorKind::AddrInUse => format!(
            "another program has port {port}, perhaps a web server: let it pass the authority on \
             to a port of yours, and name that one in `tls.acme.listen`; or choose the other \
             `tls.acme.challenge`"
        ),
        _ => "ports below 1024 need a privilege: with systemd \
              `AmbientCapabilities=CAP_NET_BIND_SERVICE`; `tls.acme.listen` names other addresses"
            .to_owned(),
    };
    let what = format!("cannot answer {challenge} challenges at {}", error.address);
    Failure::new(ExitCode::Unavailable, what)
        .caused_by(error.cause)
        .hint(hint)
}

/// The listeners that were passed; `None` if none were.
fn passed(configuration: &Configuration) -> Result<Option<Listeners>, Failure> {
    let mut passed = ListenFd::from_env();
    if passed.len() == 0 {
        return Ok(None);
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().unwrap_or_default();
        let socket = passed.take_tcp_listener(index).map_err(|error| {
            let what = format!("socket {index} that was passed, named `{name}`, is of no use");
            Failure::new(ExitCode::Configuration, what).caused_by(error)
        })?;
        if let Some(socket) = socket {
            sockets.push((transport(configuration, name, &socket)?, socket));
        }
    }
    let listeners = Listeners::lent(sockets).map_err(|error| {
        Failure::new(
            ExitCode::Configuration,
            "a socket that was passed is of no use",
        )
        .caused_by(error)
        .hint("a systemd socket unit for it needs `Accept=no`, which is the default")
    })?;
    warn_of_others(configuration, &listeners);
    Ok(Some(listeners))
}

/// What is spoken on a socket: what its name says, or else the configuration of its address.
fn transport(
    configuration: &Configuration,
    name: &str,
    socket: &TcpListener,
) -> Result<Transport, Failure> {
    let address = socket.local_addr().map_err(|error| {
        Failure::new(ExitCode::Unavailable, "a socket without an address").caused_by(error)
    })?;
    let pop3 = &configuration.pop3;
    match name {
        "pop3" => Ok(Transport::Plain),
        "pop3s" => Ok(Transport::Tls),
        _ if pop3.listen_tls.contains(&address) => Ok(Transport::Tls),
        _ if pop3.listen.contains(&address) => Ok(Transport::Plain),
        _ => Err(Failure::new(
            ExitCode::Configuration,
            format!("nothing says whether {address}, passed as `{name}`, is for TLS"),
        )
        .hint(
            "write `FileDescriptorName=pop3s` (TLS) or `FileDescriptorName=pop3` (STLS) into its \
             socket unit, or the address into `pop3.listen_tls` or `pop3.listen`",
        )),
    }
}

/// Says which addresses of the configuration are not listened on: with sockets from outside it
/// only says what they are for.
fn warn_of_others(configuration: &Configuration, listeners: &Listeners) {
    let pop3 = &configuration.pop3;
    for (key, addresses) in [
        ("pop3.listen", &pop3.listen),
        ("pop3.listen_tls", &pop3.listen_tls),
    ] {
        for address in addresses.iter().filter(|_| configuration.sets(key)) {
            // `[::]` of a socket unit is for IPv4 too.
            let mut passed = listeners.local_addresses();
            if !passed.any(|(_, passed)| passed.port() == address.port()) {
                tracing::warn!(key, %address, "not listened on: it is not among the sockets that were passed");
            }
        }
    }
}
