//! What listens beside POP3: the pages for those who watch, and the answers to a certificate
//! authority's challenges; and what obtains the certificate. A successor gets the sockets, and what
//! uses them ends when it begins.

use std::{convert::Infallible, future::Future, io, net::TcpListener, sync::Arc};

use restante_maildrop::Maildir;
use restante_server::{
    Server, Tls,
    acme::{Acme, AcmeSettings, ChallengeKind, answer},
    control::{Handed, Purpose},
    http,
};
use tokio::{sync::watch, task::AbortHandle};

use super::activation::Asked;
use crate::{acme, configuration::Configuration, exit_code::ExitCode, failure::Failure};

/// Sockets, and what runs while this server accepts.
#[derive(Default)]
pub(super) struct Beside {
    /// Duplicates.
    pub(super) sockets: Vec<(Handed, TcpListener)>,
    pub(super) running: Vec<AbortHandle>,
}

/// A certificate that is to be obtained once this server accepts.
pub(super) struct Obtaining {
    acme: Acme,
    challenge: ChallengeKind,
    listeners: Vec<TcpListener>,
    tls: Arc<Tls>,
}

impl Beside {
    /// Serves the pages for those who watch.
    ///
    /// # Errors
    /// The system has no more sockets.
    pub(super) fn serve_pages(
        &mut self,
        listeners: Vec<Asked>,
        server: &Server<Maildir>,
    ) -> Result<(), Failure> {
        for listener in listeners {
            let listener = self.keep(Purpose::Http, listener)?;
            let pages = http::serve(listener, server.observation());
            self.run(pages, "no pages for those who watch");
        }
        Ok(())
    }

    /// Makes ready to obtain a certificate, by settings that a reload may change.
    ///
    /// # Errors
    /// It cannot be obtained at all, or the system has no more sockets.
    pub(super) fn make_ready(
        &mut self,
        configuration: &Configuration,
        settings: watch::Receiver<AcmeSettings>,
        listeners: Vec<Asked>,
        tls: &Arc<Tls>,
        server: &Server<Maildir>,
    ) -> Result<Obtaining, Failure> {
        let challenge = settings.borrow().challenge;
        let shelf = Arc::new(acme::Folder::of(configuration));
        let acme = Acme::new(settings, Arc::clone(tls), shelf, &server.observation());
        let acme = acme.map_err(|error| {
            Failure::new(ExitCode::Unavailable, "no certificate can be obtained")
                .caused_by(error)
                .hint("`[tls.acme]` says from whom, `data` where it is kept")
        })?;
        let keep = |listener| self.keep(Purpose::Acme, listener);
        Ok(Obtaining {
            acme,
            challenge,
            listeners: listeners.into_iter().map(keep).collect::<Result<_, _>>()?,
            tls: Arc::clone(tls),
        })
    }

    /// Obtains the certificate, and renews it.
    pub(super) fn obtain(&mut self, obtaining: Obtaining) {
        let Obtaining {
            acme,
            challenge,
            listeners,
            tls,
        } = obtaining;
        for listener in listeners {
            let answers = answer(listener, challenge, Arc::clone(&tls));
            self.run(answers, "no challenges of the authority are answered");
        }
        let task = tokio::spawn(acme.run());
        self.running.push(task.abort_handle());
    }

    /// Keeps a duplicate for a successor.
    fn keep(&mut self, purpose: Purpose, listener: Asked) -> Result<TcpListener, Failure> {
        let (asked, listener) = listener;
        let duplicate = listener.try_clone().map_err(|error| {
            let what = format!("cannot serve what listens on {asked}");
            Failure::new(ExitCode::Unavailable, what).caused_by(error)
        })?;
        self.sockets.push((Handed { purpose, asked }, duplicate));
        Ok(listener)
    }

    fn run(
        &mut self,
        serving: impl Future<Output = io::Result<Infallible>> + Send + 'static,
        without: &'static str,
    ) {
        let task = tokio::spawn(async move {
            // It has no other end.
            let Err(error) = serving.await;
            tracing::error!(%error, "{without}");
        });
        self.running.push(task.abort_handle());
    }
}
