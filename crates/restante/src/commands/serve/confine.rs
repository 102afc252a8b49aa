//! What `serve` gives up between binding its ports and serving: rights, and then reach.

use std::collections::BTreeSet;

use crate::{
    accounts,
    configuration::{AccountSource, CertificateFiles, Configuration},
    data_directory,
    exit_code::ExitCode,
    failure::Failure,
    mailboxes, oauth,
    rights::Rights,
    sandbox::{self, Plan},
};

/// The TCP ports to which this process can make connections for good; `None`: all.
pub(super) type Reach = Option<BTreeSet<u16>>;

/// Makes the data directory, takes on the configured rights, and enters the sandbox. What is within
/// reach then.
///
/// # Errors
/// The rights cannot be had, do not suffice, or the sandbox cannot be entered.
pub(super) fn confine(
    configuration: &Configuration,
    rights: Option<&Rights>,
) -> Result<Reach, Failure> {
    // Root's to make, theirs to have: the directory above it is rarely theirs.
    data_directory::make_for(
        configuration,
        rights.filter(|rights| rights.can_be_taken_on()),
    )?;
    if let Some(rights) = rights {
        rights.take_on()?;
        // What root could read, they may not be able to.
        accounts::check(configuration)?;
        oauth::check_kept(configuration)?;
        mailboxes::check(configuration)?;
        warn_of_unreadable_keys(configuration);
    }
    warn_of_read_only_mail(configuration);
    if rustix::process::geteuid().is_root() {
        tracing::warn!("running as root: `user` would limit what a mistake can do");
    }
    if !configuration.sandbox.enabled {
        tracing::warn!("no sandbox: `sandbox.enabled` is false");
        return Ok(None);
    }
    let homes_are_known = mailboxes::base(&configuration.mail.maildir).is_some()
        || matches!(configuration.accounts.source, AccountSource::PasswdFile(_));
    if !homes_are_known && configuration.sandbox.paths.is_empty() {
        tracing::warn!(
            "the sandbox cannot know where a database's homes are, and lets nobody in: name the \
             directories in `sandbox.paths`"
        );
    }
    let plan = Plan::of(configuration, accounts::own_mailboxes(configuration));
    let walls = sandbox::enter(&plan).map_err(|error| {
        Failure::new(ExitCode::Unavailable, "cannot enter the sandbox")
            .caused_by(error)
            .hint("with `enabled = false` below `[sandbox]` the server runs without")
    })?;
    walls.report(&plan);
    Ok(walls
        .limits_ports
        .then(|| plan.connect().copied().collect()))
}

/// Whoever mounts mail read-only means it; whoever has forgotten to open a directory in systemd's
/// unit wonders why nothing can be deleted.
fn warn_of_read_only_mail(configuration: &Configuration) {
    let base = mailboxes::base(&configuration.mail.maildir);
    let Some(base) = base.filter(|base| is_read_only(base)) else {
        return;
    };
    let path = base.display().to_string();
    tracing::warn!(
        path,
        "mail can be read here and not deleted: the file system is read-only, or systemd makes it \
         so for this service (`ReadWritePaths=`)"
    );
}

fn is_read_only(path: &std::path::Path) -> bool {
    let facts = rustix::fs::statvfs(path);
    facts.is_ok_and(|facts| facts.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// A certificate that only root can read serves until it is renewed; then nobody here can read the
/// new one. Better to hear of it now.
fn warn_of_unreadable_keys(configuration: &Configuration) {
    let tls = &configuration.tls;
    let pairs = tls.certificate.iter().chain(&tls.named);
    let pairs = pairs.flat_map(|CertificateFiles { certificate, key }| [certificate, key]);
    for path in pairs.chain(&tls.client_ca) {
        if let Err(error) = std::fs::File::open(path) {
            let path = path.display().to_string();
            tracing::warn!(
                path,
                %error,
                "cannot be read with the rights that the server keeps: after a renewal it needs \
                 a restart, SIGHUP will not do"
            );
        }
    }
}
