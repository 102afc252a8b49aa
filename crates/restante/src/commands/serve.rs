//! `restante serve`: from a configuration to a server that runs until it is told to stop.

mod activation;
mod beside;
mod confine;
mod control;
mod files;
mod first_start;
pub(crate) mod kept;
mod letter;
mod notify;
mod reload;
pub(crate) mod signals;
mod succession;

use std::{io::ErrorKind, process, sync::Arc};

use restante_maildrop::Maildir;
use restante_sasl::Mechanism;
use restante_server::{
    BindError, ConnectionLimits, Listeners, Server, ServerSettings, Tls, Transport,
    accounts::{Authenticator, AuthenticatorSettings, Directory, oauth::Oauth},
    acme::AcmeSettings,
    log::{self, LogFilter},
    login_delay::login_delay_before_login,
    retention,
};
use secrecy::ExposeSecret as _;
use time::OffsetDateTime;
use tokio::{
    select,
    sync::{oneshot, watch},
};

use self::{
    activation::Sockets,
    beside::Beside,
    confine::Reach,
    kept::Kept,
    notify::State,
    reload::Reload,
    signals::{Asked, Signals},
    succession::Legacy,
};
use crate::{
    accounts, acme, certificate,
    configuration::{CertificateFiles, Configuration},
    console,
    exit_code::ExitCode,
    failure::Failure,
    flags::{self, Talk},
    host_name, identity, mailboxes, oauth,
    rights::Rights,
    secret,
    settings::Settings,
};

/// Runs until told to stop.
///
/// # Errors
/// Why it could not start, or why it ended otherwise.
pub(crate) fn run(
    configuration: &Configuration,
    how: flags::Serve,
    talk: Talk,
) -> Result<(), Failure> {
    let log = start_log(configuration, talk)?;
    let rights = Rights::of(configuration)?;
    identity::check(configuration)?;
    accounts::check(configuration)?;
    oauth::check(configuration)?;
    acme::check(configuration)?;
    mailboxes::check(configuration)?;
    files::raise_limit(configuration);
    // Before anything is made: a start that cannot succeed leaves nothing behind.
    let sockets = match how.take_over {
        true => succession::sockets(configuration)?,
        false => activation::sockets(configuration)?,
    };
    // Keys, secrets and authorities are often root's alone.
    let foreign = Foreign {
        named: identity::read(configuration)?,
        oauth: oauth::open(configuration)?,
        acme: acme::settings(configuration)?,
    };
    // While there is one thread: what is given up here is given up by all that follow.
    let reach = confine::confine(configuration, rights.as_ref())?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(ExitCode::Unavailable, "cannot start").caused_by(error))?;
    let ended = runtime.block_on(serve(configuration, sockets, foreign, (log, reach), talk));
    // What may still block is reading for sessions that have ended.
    runtime.shutdown_background();
    ended
}

/// What is read of the files of others, before their rights are given up.
struct Foreign {
    named: identity::Named,
    oauth: Option<Oauth>,
    acme: Option<AcmeSettings>,
}

async fn serve(
    configuration: &Configuration,
    Sockets {
        listeners,
        are_lent,
        http,
        acme: challenges,
        inheritance,
    }: Sockets,
    Foreign { named, oauth, acme }: Foreign,
    (log, reach): (LogFilter, Reach),
    talk: Talk,
) -> Result<(), Failure> {
    // From here on a signal ends in an orderly way, whatever is being made.
    let signals = Signals::catch().map_err(|error| {
        Failure::new(ExitCode::Unavailable, "cannot catch signals").caused_by(error)
    })?;
    let mut control = control::bind(configuration, inheritance.as_ref())?;
    let files = ensure_certificate(configuration)?;
    let mut identities = named.complete(configuration, &files)?;
    if let Some(obtained) = acme::stored(configuration)? {
        identities.default = obtained;
    }
    let tls = Tls::new(identities)
        .map_err(|error| Failure::new(ExitCode::Unavailable, "no TLS").caused_by(error))?;
    let tls = Arc::new(tls);
    // A password in the journal is not its owner's alone: there no account is made unasked.
    let is_first_start = !accounts::database(configuration).exists() && !console::is_journal();
    let directory = accounts::open(configuration)?;
    let store = mailboxes::open(configuration)?;
    let settings = settings(configuration, &listeners, &files)?;
    let text = match &directory {
        Directory::Builtin(builtin) if is_first_start => {
            let first = first_start::welcome(configuration, builtin, &store).await?;
            settings.first_start(&first.name, first.password.expose_secret())
        }
        _ => settings.later_start(&accounts::who(configuration, &directory)?),
    };
    let authenticator = Arc::new(authenticator(configuration, directory, oauth)?);
    let server = Server::new(
        listeners,
        server_settings(configuration),
        Arc::new(store),
        Arc::clone(&authenticator),
        Some(Arc::clone(&tls)),
    );
    server.reconfiguration().learn_choices().await;
    // The password of a first start is shown even to those who want it quiet.
    if is_first_start || !talk.quiet {
        console::print(text)?;
    }
    let mut beside = Beside::default();
    beside.serve_pages(http, &server)?;
    let (steering, settings) = acme.map(watch::channel).unzip();
    let obtaining = settings
        .map(|settings| beside.make_ready(configuration, settings, challenges, &tls, &server))
        .transpose()?;
    if let Some(inheritance) = &inheritance {
        // The last that may fail, and nothing has begun.
        succession::begin(inheritance).await?;
        if let Err(error) = control.publish() {
            tracing::error!(%error, "no control socket: commands do not reach this server");
        }
    }
    // What is kept is one server's.
    if let Some(obtaining) = obtaining {
        beside.obtain(obtaining);
    }
    let logins = server.last_logins();
    let kept = Kept::new(
        &configuration.data,
        Arc::clone(&authenticator),
        Arc::clone(&logins),
    );
    kept.restore();
    beside.running.extend(kept.keep_up());
    let kept = Arc::new(kept);
    let reload = Reload {
        configuration: configuration.clone(),
        talk,
        tls,
        log,
        reach,
        acme: steering,
        server: server.reconfiguration(),
        is_activated: are_lent,
    };
    let legacy = Legacy::new(
        server.reconfiguration(),
        beside,
        Arc::clone(&kept),
        are_lent,
    );
    let legacy = Arc::new(legacy);
    let desk = control::Desk {
        sessions: server.sessions(),
        logins,
        server: reload.server.clone(),
        legacy: Arc::clone(&legacy),
        predecessors: inheritance.map_or_else(Arc::default, |left| Arc::new(left.predecessors)),
    };
    let desk = desk.open(control);
    let ended = run_until_stopped(server, signals, reload, legacy).await;
    kept.keep().await;
    // Its end takes the socket away.
    desk.abort();
    let _ = desk.await;
    ended
}

/// Serves, and obeys signals.
async fn run_until_stopped(
    server: Server<Maildir>,
    mut signals: Signals,
    mut reload: Reload,
    legacy: Arc<Legacy>,
) -> Result<(), Failure> {
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        let mut stop = Some(stop);
        loop {
            let asked = select! {
                asked = signals.next() => asked,
                () = legacy.done.notified() => Asked::Stop,
            };
            match asked {
                // systemd must not hear that a server which stops is ready.
                Asked::Reload if stop.is_none() => tracing::warn!("stopping: nothing is reloaded"),
                Asked::Reload => {
                    report(State::Reloading);
                    reload.reload().await;
                    report(State::Ready);
                }
                Asked::Stop => match stop.take() {
                    Some(stop) => {
                        // First: with nobody there the process may be gone in a moment.
                        report(State::Stopping);
                        // An end that is on its way already needs no second reason.
                        let _ = stop.send(());
                    }
                    None => {
                        console::tell("stopped at once; sessions that were open removed nothing");
                        process::exit(ExitCode::TryLater as i32);
                    }
                },
            }
        }
    });
    // The ports were taken before: whoever connects from now on is served.
    console::tell("ready");
    report(State::Ready);
    if let Some(every) = notify::alive_every() {
        tokio::spawn(async move {
            loop {
                report(State::Alive);
                tokio::time::sleep(every).await;
            }
        });
    }
    let shutdown = async {
        // The sender lives as long as the task above, which never ends.
        let _ = stopped.await;
    };
    server
        .run(shutdown)
        .await
        .map_err(|error| Failure::new(ExitCode::Unavailable, "the server ended").caused_by(error))
}

fn report(state: State) {
    if let Err(error) = notify::tell(state) {
        tracing::warn!(%error, "systemd could not be told how far the server is");
    }
}

fn start_log(configuration: &Configuration, talk: Talk) -> Result<LogFilter, Failure> {
    log::start(configuration.log.format, &log_filter(configuration, talk))
        .map_err(|error| Failure::new(ExitCode::Bug, "cannot start the log").caused_by(error))
}

/// What is logged: what was typed goes before what is configured.
fn log_filter(configuration: &Configuration, talk: Talk) -> String {
    let level = match (talk.quiet, talk.verbose) {
        (true, _) => "warn",
        (false, 0) => configuration.log.level,
        (false, 1) => "debug",
        (false, _) => "trace",
    };
    // Libraries speak of their insides below `info`.
    match level {
        "debug" | "trace" if talk.verbose < 2 => {
            format!("info,restante={level},restante_server={level},restante_maildrop={level}")
        }
        _ => level.to_owned(),
    }
}

fn explain_bind(error: BindError) -> Failure {
    let address = error.address;
    let (code, hint) = match error.cause.kind() {
        ErrorKind::AddrInUse => (
            ExitCode::Unavailable,
            format!(
                "another program listens on port {}, perhaps another `restante serve`: stop it, \
                 or name another port in `pop3.listen` or `pop3.listen_tls`",
                address.port()
            ),
        ),
        ErrorKind::PermissionDenied => (
            ExitCode::Unavailable,
            "ports below 1024 need a privilege: with systemd \
             `AmbientCapabilities=CAP_NET_BIND_SERVICE`, by hand \
             `setcap cap_net_bind_service=+ep` on the program"
                .to_owned(),
        ),
        ErrorKind::AddrNotAvailable => (
            ExitCode::Configuration,
            "this machine does not have that address: `ip address` lists its own".to_owned(),
        ),
        _ => (
            ExitCode::Unavailable,
            "`pop3.listen` and `pop3.listen_tls` name the addresses".to_owned(),
        ),
    };
    Failure::new(code, format!("cannot listen on {address}"))
        .caused_by(error.cause)
        .hint(hint)
}

/// The configured certificate, or the self-signed one, which is made or renewed.
fn ensure_certificate(configuration: &Configuration) -> Result<CertificateFiles, Failure> {
    if let Some(files) = &configuration.tls.certificate {
        return Ok(files.clone());
    }
    let pop3 = &configuration.pop3;
    let addresses = || {
        let listen = pop3.listen.iter().chain(&pop3.listen_tls);
        listen.map(|address| address.ip().to_canonical())
    };
    let host = host_name::of_this_machine();
    let mut names = certificate::names(host.as_deref(), addresses());
    // Nobody calls a server that only this machine reaches by the machine's name: a new name is
    // no reason to have every program ask again whether to trust the certificate.
    let host = host.filter(|_| addresses().any(|address| !address.is_loopback()));
    let mut needed = certificate::names(host.as_deref(), addresses());
    // Until there is a certificate of the authority.
    if let Some(acme) = &configuration.tls.acme {
        names.extend(acme.domains.iter().cloned());
        needed.extend(acme.domains.iter().cloned());
    }
    let data = &configuration.data;
    certificate::ensure_self_signed(data, &names, &needed, OffsetDateTime::now_utc()).map_err(
        |error| {
            Failure::new(ExitCode::Io, "no certificate")
                .caused_by(error)
                .hint("`tls.certificate` and `tls.key` name one of your own; or remove the damaged file, and the next start makes a new one")
        },
    )
}

fn settings(
    configuration: &Configuration,
    listeners: &Listeners,
    files: &CertificateFiles,
) -> Result<Settings, Failure> {
    let first = |wanted: Transport| {
        let mut addresses = listeners.local_addresses();
        addresses.find_map(|(transport, address)| (transport == wanted).then_some(address))
    };
    let (tls, plain) = (first(Transport::Tls), first(Transport::Plain));
    Settings::of(configuration, tls, plain, files)
        .map_err(|error| Failure::new(ExitCode::Io, "no certificate").caused_by(error))
}

fn server_settings(configuration: &Configuration) -> ServerSettings {
    let (pop3, limits) = (&configuration.pop3, &configuration.limits);
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let mut settings = ServerSettings {
        cleartext_login: pop3.cleartext_login,
        in_use_wait: pop3.in_use_wait,
        proxies: pop3.proxies.clone(),
        utf8_headers: pop3.utf8_headers,
        policy: configuration.mail.policy,
        login_delay: pop3.login_delay,
        shows: configuration.mail.shows.clone(),
        drain_timeout: pop3.drain_timeout,
        apop_host: pop3.apop.then(|| {
            let name = host_name::of_this_machine();
            name.unwrap_or_else(|| "localhost".to_owned())
        }),
        limits: ConnectionLimits {
            connections_max: count(limits.connections),
            connections_per_address_max: count(limits.connections_per_address),
            connections_per_account_max: count(limits.connections_per_account),
        },
        ..ServerSettings::default()
    };
    settings.session.implementation = Some("Restante".to_owned());
    settings.session.expire = Some(retention::expire_before_login(
        configuration.mail.policy,
        [],
    ));
    settings.session.login_delay = login_delay_before_login(pop3.login_delay, []);
    settings.session.idle_timeout = pop3.idle_timeout;
    settings.session.login_timeout = pop3.login_timeout;
    settings
}

fn authenticator(
    configuration: &Configuration,
    directory: Directory,
    oauth: Option<Oauth>,
) -> Result<Authenticator, Failure> {
    Authenticator::new(
        directory,
        authenticator_settings(configuration, oauth.map(Arc::new))?,
    )
    .map_err(|error| {
        Failure::new(ExitCode::Unavailable, "the system gives no randomness").caused_by(error)
    })
}

fn authenticator_settings(
    configuration: &Configuration,
    oauth: Option<Arc<Oauth>>,
) -> Result<AuthenticatorSettings, Failure> {
    let secret = secret::ensure(&configuration.data).map_err(|error| {
        Failure::new(ExitCode::Io, "no secret for made-up salts")
            .caused_by(error)
            .hint("if the file is damaged, remove it: the next start makes a new one")
    })?;
    let mechanisms = configuration.pop3.mechanisms.as_ref();
    Ok(AuthenticatorSettings {
        names: accounts::names(configuration),
        mechanisms: mechanisms.map(|names| {
            let mechanism = |name: &&str| Mechanism::from_name(name);
            names.iter().filter_map(mechanism).collect()
        }),
        oauth,
        host: host_name::of_this_machine().unwrap_or_else(|| "localhost".to_owned()),
        apop: configuration.pop3.apop,
        failure_time: configuration.accounts.failure_time,
        bans: configuration.bans.clone(),
        ..AuthenticatorSettings::new(secret)
    })
}
