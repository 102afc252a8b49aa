//! `cargo xtask package --try`: the package as a new operator meets it, on a clean Debian with an
//! operating systemd: installed, configured, started, polled, upgraded under load, lost and
//! restored from its backup, removed and purged.
//!
//! What the operator types for backups stands in docs/operate.md; it is taken from there.

mod operator;
mod reader;

use std::path::Path;

use anyhow::{Result, bail, ensure};

use self::operator::Operator;
use crate::{clean_root::CleanRoot, tree};

/// What a clean Debian has besides the basic system: systemd, and a mail program.
const PACKAGES: [&str; 5] = ["systemd", "ca-certificates", "mpop", "curl", "sqlite3"];

/// Who has mail.
const ME: &str = "me@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// Tries a package, and an upgrade to another one.
///
/// # Errors
/// What did not go as an operator may expect.
pub(crate) fn run(deb: &Path, newer: &Path) -> Result<()> {
    let root = CleanRoot::make(&PACKAGES)?;
    let (first, second) = ("/var/tmp/restante-1.deb", "/var/tmp/restante-2.deb");
    root.put(deb, first)?;
    root.put(newer, second)?;
    let booted = root.boot()?;
    let operator = Operator::new(&booted);
    let outcome = steps(&operator, first, second);
    if outcome.is_err() {
        let journal = operator.typed("journalctl --no-pager --lines 60 --unit restante.service");
        eprintln!("the server's journal:\n{}", journal.unwrap_or_default());
    }
    outcome
}

fn steps(operator: &Operator<'_>, first: &str, second: &str) -> Result<()> {
    let tell = |step: &str| eprintln!("trial: {step}");
    tell("install");
    install(operator, first)?;
    tell("configure");
    configure(operator)?;
    tell("start");
    start(operator)?;
    tell("poll");
    poll(operator)?;
    tell("reload");
    reload(operator)?;
    tell("upgrade");
    upgrade(operator, second)?;
    tell("back up, lose, restore");
    restore(operator)?;
    tell("remove");
    remove(operator, second)?;
    tell("purge");
    purge(operator)?;
    println!("the package was installed, polled, upgraded, restored, removed and purged");
    Ok(())
}

/// Installing starts nothing, opens nothing, and says what is next.
fn install(operator: &Operator<'_>, deb: &str) -> Result<()> {
    let said = operator.typed(&format!("dpkg --install {deb}"))?;
    contains(&said, "systemctl enable --now restante")?;
    operator.fails("systemctl is-enabled restante.service")?;
    operator.fails("systemctl is-active restante.service")?;
    operator.fails("systemctl is-enabled restante.socket")?;
    let modes = operator.typed("stat --format '%A %U %G %n' /etc/restante /var/lib/restante")?;
    ensure!(
        modes
            == "drwxr-x--- root restante /etc/restante\n\
                drwx------ restante restante /var/lib/restante\n",
        "not as tmpfiles.d has it:\n{modes}"
    );
    let complaints =
        operator.typed("systemd-analyze verify --man=no restante.service restante.socket")?;
    ensure!(complaints.is_empty(), "systemd complains:\n{complaints}");
    operator.typed("test -s /usr/share/man/man1/restante-account-add.1.gz")?;
    operator.typed("test -s /usr/share/man/man5/restante.toml.5.gz")?;
    Ok(())
}

/// The configuration of the package does as it is, and its explanation holds.
fn configure(operator: &Operator<'_>) -> Result<()> {
    let explained = operator.typed("restante config check")?;
    for row in [
        "configuration  /etc/restante/restante.toml\n",
        "data           /var/lib/restante\n",
        "0.0.0.0:110, with STLS; passwords without TLS from this machine only\n",
        "[::]:995\n",
        "self-signed, will be made at the next start: /var/lib/restante/certificate.pem\n",
        "`restante account add`",
        "Maildir /var/lib/restante/mail/{address}\n",
        "those of `restante`",
    ] {
        contains(&explained, row)?;
    }
    operator.typed_with(
        &format!("restante account add {ME} --password-stdin"),
        &format!("{PASSWORD}\n"),
    )?;
    // As the pipe of a mail server runs it: as the owner of the mail.
    operator.deliver("one")?;
    operator.deliver("two")?;
    // What the commands made is the server's, though root typed them.
    let foreign = operator.typed("find /var/lib/restante ! -user restante")?;
    ensure!(foreign.is_empty(), "not the server's:\n{foreign}");
    Ok(())
}

/// The unit starts the server, which tells when it is ready and gives up root's rights.
fn start(operator: &Operator<'_>) -> Result<()> {
    operator.typed("systemctl enable --now restante.service")?;
    operator.typed("systemctl is-active restante.service")?;
    let status = operator.typed(&format!("cat /proc/{}/status", operator.server()?))?;
    let user = operator.typed("id --user restante")?;
    let user = user.trim();
    for row in [
        format!("Uid:\t{user}\t{user}\t{user}\t{user}\n"),
        "CapEff:\t0000000000000000\n".to_owned(),
        "CapPrm:\t0000000000000000\n".to_owned(),
        "NoNewPrivs:\t1\n".to_owned(),
        "Seccomp:\t2\n".to_owned(),
    ] {
        contains(&status, &row)?;
    }
    let journal = operator.journal()?;
    contains(&journal, "sandbox entered")?;
    // What the unit's filter forbids, the server would have complained of.
    for complaint in ["ERROR", "Operation not permitted", "Read-only file system"] {
        ensure!(!journal.contains(complaint), "`{complaint}` in:\n{journal}");
    }
    Ok(())
}

/// A mail program fetches over TLS what is there, and later only what is new.
fn poll(operator: &Operator<'_>) -> Result<()> {
    operator.set_up_mpop()?;
    operator.poll_brings(&["one", "two"])?;
    operator.poll_brings(&[])?;
    operator.deliver("three")?;
    operator.poll_brings(&["three"])?;
    let unique_ids = operator.unique_ids()?;
    ensure!(unique_ids.len() == 3, "{unique_ids:?}");
    Ok(())
}

/// An edited configuration is read again by a server that is another user's.
fn reload(operator: &Operator<'_>) -> Result<()> {
    let server = operator.server()?;
    operator.typed(
        "sed -i 's/^# default_domain = .*/default_domain = \"example.com\"/' \
         /etc/restante/restante.toml",
    )?;
    operator.typed("restante config check")?;
    operator.typed("systemctl reload restante.service")?;
    ensure!(
        server == operator.server()?,
        "a reload has restarted the server"
    );
    operator.typed(&format!(
        "curl --silent --show-error --user 'me:{PASSWORD}' pop3://localhost/"
    ))?;
    Ok(())
}

/// An upgrade under load: no poll fails, nothing is fetched twice, and all stays as it was.
fn upgrade(operator: &Operator<'_>, deb: &str) -> Result<()> {
    let before = operator.state()?;
    // The way of operate.md to refuse nobody.
    operator.typed("systemctl stop restante.service")?;
    operator.typed("systemctl disable restante.service")?;
    operator.typed("systemctl enable --now restante.socket")?;
    operator.poll_brings(&[])?;
    let server = operator.server()?;
    let polls = reader::while_polling(operator, || {
        operator.typed(&format!("dpkg --install {deb}")).map(drop)
    })?;
    eprintln!("trial: {polls} polls went on meanwhile");
    ensure!(
        server != operator.server()?,
        "the upgrade has not restarted the server"
    );
    let version = operator.typed("dpkg-query --show --showformat '${Version}' restante")?;
    ensure!(version.ends_with("-2"), "{version} is installed");
    let after = operator.state()?;
    ensure!(before == after, "before:\n{before}\nafter:\n{after}");
    operator.typed("systemctl is-enabled restante.socket")?;
    operator.fails("systemctl is-enabled restante.service")?;
    operator.deliver("four")?;
    operator.poll_brings(&["four"])
}

/// The backup that operate.md describes, and the way back from it.
fn restore(operator: &Operator<'_>) -> Result<()> {
    operator.delete_first()?;
    let before = operator.state()?;
    operator.typed(&documented("Back up")?)?;
    // All is lost, and what came after the backup with it.
    operator.deliver("lost")?;
    operator.typed("systemctl stop restante.socket restante.service")?;
    operator.typed("find /var/lib/restante /etc/restante -mindepth 1 -delete")?;
    operator.fails("restante account show me")?;
    operator.typed(&documented("Restore")?)?;
    operator.typed("systemctl start restante.socket")?;
    let after = operator.state()?;
    ensure!(before == after, "before:\n{before}\nafter:\n{after}");
    operator.poll_brings(&[])?;
    // The trash came back too, and what is put back from it is downloaded again.
    operator.typed(&format!("restante mail restore {ME} --all"))?;
    operator.poll_brings(&["one"])
}

/// Without the program mail, accounts and configuration stay; with it again they serve on.
fn remove(operator: &Operator<'_>, deb: &str) -> Result<()> {
    let before = operator.state()?;
    let files = operator.files()?;
    operator.typed("dpkg --remove restante")?;
    operator.fails("systemctl is-active restante.service restante.socket")?;
    operator.fails("test -e /usr/bin/restante")?;
    operator.typed("test -s /etc/restante/restante.toml")?;
    ensure!(
        files == operator.files()?,
        "removing the package has changed the mail"
    );
    operator.typed(&format!("dpkg --install {deb}"))?;
    operator.typed("systemctl is-enabled restante.socket")?;
    operator.typed("systemctl start restante.socket")?;
    ensure!(
        before == operator.state()?,
        "not as it was before the package was removed"
    );
    operator.poll_brings(&[])
}

/// A purge takes the configuration, leaves the mail and says so.
fn purge(operator: &Operator<'_>) -> Result<()> {
    let files = operator.files()?;
    let said = operator.typed("dpkg --purge restante")?;
    contains(&said, "Mail and accounts are left alone")?;
    ensure!(
        files == operator.files()?,
        "purging the package has changed the mail"
    );
    operator.fails("test -e /etc/restante")?;
    operator.typed("id restante")?;
    let left = operator.typed("find /etc/systemd /var/lib/systemd -name 'restante*'")?;
    ensure!(left.is_empty(), "left:\n{left}");
    operator.fails("systemctl cat restante.service")
}

fn contains(text: &str, wanted: &str) -> Result<()> {
    ensure!(text.contains(wanted), "no `{wanted}` in:\n{text}");
    Ok(())
}

/// The commands below a heading of docs/operate.md.
fn documented(heading: &str) -> Result<String> {
    let page = std::fs::read_to_string(tree::root().join("docs/operate.md"))?;
    let mut lines = page
        .lines()
        .skip_while(|line| *line != format!("## {heading}"));
    if lines.next().is_none() {
        bail!("docs/operate.md has no section `{heading}`");
    }
    let (mut commands, mut is_command) = (String::new(), false);
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        match line {
            "```sh" => is_command = true,
            "```" => is_command = false,
            _ if is_command => commands.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    ensure!(
        !commands.is_empty(),
        "no commands below `{heading}` in docs/operate.md"
    );
    Ok(commands)
}
