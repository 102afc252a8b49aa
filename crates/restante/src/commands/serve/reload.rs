//! SIGHUP: reads the configuration again while the server runs.
//!
//! Everything new is made ready before anything old is given up, so that a mistake anywhere leaves
//! the server as it was. Sessions go on with what they began with.

use std::{
    fmt::Debug,
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use restante_server::{
    BindError, Identities, Reconfiguration, ServerError, Tls,
    accounts::{Authenticator, AuthenticatorSettings, oauth::Oauth},
    acme::AcmeSettings,
    log::LogFilter,
};
use tokio::sync::watch;

use super::{
    authenticator_settings, confine::Reach, ensure_certificate, explain_bind, log_filter,
    server_settings,
};
use crate::{
    accounts, acme,
    configuration::{Acme, Configuration},
    exit_code::ExitCode,
    failure::Failure,
    flags::Talk,
    identity, mailboxes, oauth,
    sandbox::Plan,
};

/// A running server and what it was told last.
pub(super) struct Reload {
    pub(super) configuration: Configuration,
    pub(super) talk: Talk,
    pub(super) tls: Arc<Tls>,
    pub(super) log: LogFilter,
    pub(super) reach: Reach,
    /// Tells who obtains the certificate by what; `None`: nobody does.
    pub(super) acme: Option<watch::Sender<AcmeSettings>>,
    pub(super) server: Reconfiguration,
    /// Whether somebody else has opened the sockets, who alone can change them.
    pub(super) is_activated: bool,
}

/// What only a restart can change, and how to see that it has changed.
type Fixed = (&'static str, fn(&Configuration) -> &dyn Debug);

const FIXED: &[Fixed] = &[
    ("data", |configuration| &configuration.data),
    ("user", |configuration| &configuration.user),
    ("group", |configuration| &configuration.group),
    ("sandbox", |configuration| &configuration.sandbox),
    ("mail", |configuration| &configuration.mail),
    ("http", |configuration| &configuration.http),
    ("tls.acme", |configuration| {
        match configuration.tls.acme.is_some() {
            true => &true,
            false => &false,
        }
    }),
    ("tls.acme.challenge", |configuration| {
        acme_of(configuration, |acme| &acme.challenge)
    }),
    ("tls.acme.listen", |configuration| {
        acme_of(configuration, |acme| &acme.listen)
    }),
    ("log.format", |configuration| &configuration.log.format),
];

fn acme_of(configuration: &Configuration, of: fn(&Acme) -> &dyn Debug) -> &dyn Debug {
    configuration.tls.acme.as_ref().map_or(&(), of)
}

/// All that can fail.
struct Prepared {
    configuration: Configuration,
    /// `None`: those that are shown are shown on.
    identities: Option<Identities>,
    authenticator: Authenticator,
    /// `None`: they are as they were, or there are none.
    acme: Option<AcmeSettings>,
    log_filter: String,
}

impl Reload {
    /// Reads everything again. Whatever is wrong is said in the log, and nothing has changed then.
    pub(super) async fn reload(&mut self) {
        match self.try_reload().await {
            Ok(()) => tracing::info!("configuration and certificates read again"),
            Err(failure) => {
                tracing::error!("nothing reloaded: the server goes on as it was");
                // Each with file, line and key; a line of the log each.
                for problem in failure.to_string().lines() {
                    tracing::error!(problem = problem.trim(), "not reloaded");
                }
            }
        }
    }

    async fn try_reload(&mut self) -> Result<(), Failure> {
        let file: Option<PathBuf> = self.configuration.file.clone();
        let prepared = self.prepare(Configuration::load(file.as_deref())?)?;
        // The last that may fail, and the only one that takes effect when it does not.
        self.listen(&prepared.configuration).await?;
        if let Some(identities) = prepared.identities {
            let is_obtained = prepared.configuration.tls.acme.is_some();
            self.tls
                .change(|current| {
                    // Whoever obtains it has perhaps just done so, and shows it.
                    let obtained = is_obtained.then(|| current.default.clone());
                    let default = obtained.unwrap_or_else(|| identities.default.clone());
                    *current = Identities {
                        default,
                        ..identities
                    };
                })
                .map_err(|error| Failure::new(ExitCode::Unavailable, "no TLS").caused_by(error))?;
        }
        if let (Some(steering), Some(settings)) = (&self.acme, prepared.acme) {
            steering.send_replace(settings);
        }
        if let Err(error) = self.log.replace(&prepared.log_filter) {
            tracing::error!(%error, "log level not changed");
        }
        let settings = server_settings(&prepared.configuration);
        self.server
            .replace(settings, Arc::new(prepared.authenticator));
        self.server.learn_choices().await;
        self.configuration = prepared.configuration;
        Ok(())
    }

    fn prepare(&self, configuration: Configuration) -> Result<Prepared, Failure> {
        // What is looked at and made is where it was.
        let configuration = self.keep_fixed(configuration);
        self.check_reach(&configuration)?;
        self.check_accounts_reach(&configuration)?;
        let identities = self.identities(&configuration)?;
        accounts::check(&configuration)?;
        mailboxes::check(&configuration)?;
        Ok(Prepared {
            identities,
            authenticator: self.authenticator(&configuration)?,
            acme: self.acme(&configuration)?,
            log_filter: log_filter(&configuration, self.talk),
            configuration,
        })
    }

    /// Sees that the sandbox, which does not change, lets the server connect to whom the
    /// configuration now leads.
    fn check_reach(&self, new: &Configuration) -> Result<(), Failure> {
        let Some(reach) = &self.reach else {
            return Ok(());
        };
        let plan = Plan::of(new, []);
        match plan.connect().find(|port| !reach.contains(port)) {
            None => Ok(()),
            Some(port) => {
                let what = format!(
                    "TCP port {port} is out of reach, to which `[accounts.oauth]`, \
                     `[accounts.sql]` or `[tls.acme]` leads"
                );
                Err(Failure::new(ExitCode::Configuration, what)
                    .hint("the sandbox lets a running server connect to no new port: restart it"))
            }
        }
    }

    /// Sees that accounts which are now in another file can be read: a database is not looked at
    /// before the next login.
    fn check_accounts_reach(&self, new: &Configuration) -> Result<(), Failure> {
        let source = &new.accounts.source;
        if *source == self.configuration.accounts.source {
            return Ok(());
        }
        let denied = |path: &&Path| {
            let opened = File::open(path);
            opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
        };
        let Some(path) = source.files().find(denied) else {
            return Ok(());
        };
        let hint = match self.configuration.sandbox.enabled {
            true => "the sandbox lets a running server read no new directory: restart it",
            false => "the file must be readable to the user that runs the server",
        };
        let what = format!(
            "`{}` is out of reach, to which `[accounts]` leads",
            path.display()
        );
        Err(Failure::new(ExitCode::Configuration, what).hint(hint))
    }

    /// The certificates as they are now. A server that has given up the right to read its keys
    /// goes on with those it has, and may reload everything else.
    fn identities(&self, new: &Configuration) -> Result<Option<Identities>, Failure> {
        if new.tls == self.configuration.tls
            && let Some((path, error)) = new.tls.out_of_reach()
        {
            let path = path.display().to_string();
            tracing::error!(path, %error, "certificates not changed: that needs a restart");
            return Ok(None);
        }
        identity::check(new)?;
        let files = ensure_certificate(new)?;
        let identities = identity::read(new)?.complete(new, &files)?;
        Ok(Some(identities))
    }

    /// Says which changes need a restart, and goes on with the old.
    fn keep_fixed(&self, mut new: Configuration) -> Configuration {
        let old = &self.configuration;
        for (key, value) in FIXED {
            if format!("{:?}", value(old)) != format!("{:?}", value(&new)) {
                tracing::warn!(
                    key,
                    "changed in the configuration, takes effect at a restart"
                );
            }
        }
        new.data.clone_from(&old.data);
        new.user.clone_from(&old.user);
        new.group.clone_from(&old.group);
        new.sandbox.clone_from(&old.sandbox);
        new.mail.clone_from(&old.mail);
        new.http.clone_from(&old.http);
        new.log.format = old.log.format;
        match (&mut new.tls.acme, &old.tls.acme) {
            (Some(new), Some(old)) => {
                new.challenge = old.challenge;
                new.listen.clone_from(&old.listen);
            }
            (None, None) => {}
            // Another place for the default certificate is the other side of the same change.
            _ => {
                new.tls.acme.clone_from(&old.tls.acme);
                new.tls.certificate.clone_from(&old.tls.certificate);
            }
        }
        new
    }

    /// How the certificate is to be obtained from now on, if that has changed.
    fn acme(&self, new: &Configuration) -> Result<Option<AcmeSettings>, Failure> {
        let (Some(steering), Some(old)) = (&self.acme, &self.configuration.tls.acme) else {
            return Ok(None);
        };
        if new.tls.acme.as_ref() == Some(old) {
            return Ok(None);
        }
        let settings = acme::changed(new, old, &steering.borrow())?;
        let checked = settings.as_ref().map_or(Ok(()), AcmeSettings::check);
        checked.map_err(|error| {
            Failure::new(ExitCode::Configuration, "no certificate can be obtained")
                .caused_by(error)
                .hint("`[tls.acme]` says from whom")
        })?;
        Ok(settings)
    }

    /// Verifies by the new settings; accounts that stay where they are stay open.
    fn authenticator(&self, new: &Configuration) -> Result<Authenticator, Failure> {
        let settings: AuthenticatorSettings = authenticator_settings(new, self.oauth(new)?)?;
        let old = self.server.authenticator();
        if new.accounts.source == self.configuration.accounts.source {
            return Ok(old.with_settings(settings));
        }
        let directory = accounts::open(new)?;
        old.with_directory(directory, settings).map_err(|error| {
            Failure::new(ExitCode::Unavailable, "the system gives no randomness").caused_by(error)
        })
    }

    /// What verifies tokens, with its files as they are now. As with certificates: what can no
    /// longer be read is used on.
    fn oauth(&self, new: &Configuration) -> Result<Option<Arc<Oauth>>, Failure> {
        let (old, configured) = (&self.configuration.accounts.oauth, &new.accounts.oauth);
        if format!("{old:?}") == format!("{configured:?}")
            && let Some((path, error)) = configured.as_ref().and_then(oauth::out_of_reach)
        {
            let path = path.display().to_string();
            tracing::error!(path, %error, "verification of tokens not changed: that needs a restart");
            return Ok(self.server.authenticator().oauth().cloned());
        }
        Ok(oauth::open(new)?.map(Arc::new))
    }

    async fn listen(&self, new: &Configuration) -> Result<(), Failure> {
        let (old, new) = (&self.configuration.pop3, &new.pop3);
        if old.listen == new.listen && old.listen_tls == new.listen_tls {
            return Ok(());
        }
        if self.is_activated {
            tracing::warn!(
                "addresses changed in the configuration, but the sockets were passed to the \
                 server: who passes them changes them"
            );
            return Ok(());
        }
        let listening = self.server.listen(&new.listen, &new.listen_tls).await;
        listening.map_err(|error| match error {
            ServerError::Bind(error) if self.is_walled_in(&error) => explain_bind(error)
                .hint("the sandbox lets a running server take no new port: restart it"),
            ServerError::Bind(error) => explain_bind(error),
            error => Failure::new(ExitCode::Unavailable, "cannot listen").caused_by(error),
        })
    }

    fn is_walled_in(&self, error: &BindError) -> bool {
        self.configuration.sandbox.enabled && error.cause.kind() == ErrorKind::PermissionDenied
    }
}
