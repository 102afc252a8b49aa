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

/// What a clean Debian has besides the basic system: systemd, a mail server, mail programs.
const PACKAGES: [&str; 6] = [
    "systemd",
    "ca-certificates",
    "curl",
    "mpop",
    "postfix",
    "sqlite3",
];

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
    tell("behind Postfix");
    behind_postfix(operator)?;
    tell("reload");
    reload(operator)?;
    tell("upgrade");
    upgrade(operator, second)?;
    tell("back up, lose, restore");
    restore(operator)?;
    tell("remove");
    remove(operator, second)?;
    tell("mail elsewhere");
    elsewhere(operator)?;
    tell("as another user");
    as_another_user(operator, second)?;
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
    // systemd restarts a server that does not tell that it is alive: it does.
    operator.typed(
        "for moment in $(seq 300); do
             since=$(systemctl show --property WatchdogTimestampMonotonic --value restante.service)
             test \"$since\" = 0 || exit 0
             sleep 0.1
         done
         echo systemd does not watch the server; exit 1",
    )?;
    let journal = operator.journal_with("sandbox entered")?;
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

/// Postfix delivers as operate.md has it set up, with a sender and without.
fn behind_postfix(operator: &Operator<'_>) -> Result<()> {
    let blocks = documented("### Behind Postfix")?;
    let [master, main, table, by_itself] = &blocks[..] else {
        bail!("{} blocks below `Behind Postfix`", blocks.len());
    };
    operator.typed_with("cat >> /etc/postfix/master.cf", master)?;
    operator.typed_with("cat >> /etc/postfix/main.cf", main)?;
    operator.typed("postconf -e maillog_file=/var/log/postfix.log; systemctl restart postfix")?;
    operator.typed(table)?;
    operator.post("somebody@example.net", "posted")?;
    operator.post("<>", "returned")?;
    operator.wait_for_mail(5)?;
    let senders = operator.typed("sed -n 's/^Return-Path: //p' /var/lib/restante/mail/*/new/*")?;
    ensure!(
        senders.contains("<somebody@example.net>\n") && senders.contains("<>\n"),
        "from:\n{senders}"
    );
    operator.poll_brings(&["posted", "returned"])?;
    operator.typed(by_itself)?;
    operator.post("somebody@example.net", "put there")?;
    operator.wait_for_mail(6)?;
    operator.poll_brings(&["put there"])
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
    operator.journal_with("configuration and certificates read again")?;
    // A login without its domain.
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
    operator.typed(&documented("## Back up")?.concat())?;
    // All is lost, and what came after the backup with it.
    operator.deliver("lost")?;
    operator.typed("systemctl stop restante.socket restante.service")?;
    operator.typed("find /var/lib/restante /etc/restante -mindepth 1 -delete")?;
    operator.fails("restante account show me")?;
    operator.typed(&documented("## Restore")?.concat())?;
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

/// The unit keeps the server from writing elsewhere; the log says so, and a drop-in opens it.
fn elsewhere(operator: &Operator<'_>) -> Result<()> {
    const WARNING: &str = "mail can be read here and not deleted";
    operator.typed(
        "install -d -o restante -g restante /srv/vmail
         sed -i 's|^# maildir = .*|maildir = \"/srv/vmail/{domain}/{user}\"|' /etc/restante/restante.toml
         systemctl restart restante.service",
    )?;
    operator.journal_with(WARNING)?;
    operator.typed(
        "install -d /etc/systemd/system/restante.service.d
         printf '[Service]\nReadWritePaths=/srv/vmail\n' \
             > /etc/systemd/system/restante.service.d/override.conf
         journalctl --quiet --rotate --vacuum-time=1s
         systemctl daemon-reload
         systemctl restart restante.service",
    )?;
    let journal = operator.journal_with("sandbox entered")?;
    ensure!(!journal.contains(WARNING), "{journal}");
    operator.deliver("elsewhere")?;
    operator.poll_brings(&["elsewhere"])?;
    operator.delete_first()?;
    operator.typed("rm -r /etc/systemd/system/restante.service.d; systemctl daemon-reload")?;
    Ok(())
}

/// Everything can be another user's, as operate.md has it, and an upgrade leaves it so.
fn as_another_user(operator: &Operator<'_>, deb: &str) -> Result<()> {
    operator.typed(
        "systemctl stop restante.socket restante.service
         useradd --system vmail
         chown -R vmail:vmail /srv/vmail
         sed -i 's/^user = .*/user = \"vmail\"/' /etc/restante/restante.toml",
    )?;
    operator.typed(&documented("### As another user")?.concat())?;
    operator.typed("systemctl start restante.service")?;
    operator.typed(&format!("dpkg --install {deb}"))?;
    operator.typed("systemctl is-active restante.service; systemctl reload restante.service")?;
    operator.poll_brings(&[])?;
    let foreign = operator.typed("find /var/lib/restante /srv/vmail ! -user vmail")?;
    ensure!(foreign.is_empty(), "not the server's:\n{foreign}");
    operator.journal_with("configuration and certificates read again")?;
    Ok(())
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

/// What stands in blocks below a heading of docs/operate.md, one string for each block.
fn documented(heading: &str) -> Result<Vec<String>> {
    let page = std::fs::read_to_string(tree::root().join("docs/operate.md"))?;
    let mut lines = page.lines().skip_while(|line| *line != heading);
    if lines.next().is_none() {
        bail!("docs/operate.md has no section `{heading}`");
    }
    let mut blocks: Vec<String> = Vec::new();
    let mut is_inside = false;
    for line in lines {
        match line {
            _ if line.starts_with("```") => {
                is_inside = !is_inside;
                if is_inside {
                    blocks.push(String::new());
                }
            }
            _ if !is_inside && line.starts_with('#') => break,
            _ => {
                if let Some(block) = blocks.last_mut().filter(|_| is_inside) {
                    block.push_str(line);
                    block.push('\n');
                }
            }
        }
    }
    ensure!(
        !blocks.is_empty(),
        "docs/operate.md has nothing to type below `{heading}`"
    );
    Ok(blocks)
}
