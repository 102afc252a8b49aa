//! Servers that the tests move mailboxes to and from, collect mail from and hand it on to: their
//! packages exclude each other and start services, so they are not installed but unpacked side by
//! side, below `target/servers/`.
//!
//! ```text
//! target/servers/
//! ├── dovecot/     the trees of dovecot-pop3d, dovecot-core and the libraries that are missing here
//! ├── courier/     those of courier-pop, courier-base and courier-authlib
//! └── …            and so on
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{package, process, tree};

/// A server, and the packages that it is made of; libraries they need are found by apt.
struct Server {
    name: &'static str,
    packages: &'static [&'static str],
    /// What is there when it was unpacked.
    probe: &'static str,
}

const SERVERS: [Server; 8] = [
    Server {
        name: "dovecot",
        packages: &["dovecot-core", "dovecot-lmtpd", "dovecot-pop3d"],
        probe: "usr/lib/dovecot/lmtp",
    },
    Server {
        name: "courier",
        packages: &[
            "courier-pop",
            "courier-base",
            "courier-authlib",
            "courier-authlib-userdb",
        ],
        probe: "usr/bin/couriertls",
    },
    Server {
        name: "cyrus",
        // The server wants to know the zones of time, and loads ways to log in by name.
        packages: &[
            "cyrus-common",
            "cyrus-pop3d",
            "libsasl2-modules",
            "libsasl2-modules-db",
            "sasl2-bin",
            "tzdata",
        ],
        probe: "usr/lib/cyrus/bin/pop3d",
    },
    Server {
        name: "mailutils",
        packages: &["mailutils", "mailutils-common", "mailutils-pop3d"],
        probe: "usr/sbin/pop3d",
    },
    Server {
        name: "popa3d",
        packages: &["popa3d"],
        probe: "usr/sbin/popa3d",
    },
    Server {
        name: "solid-pop3d",
        packages: &["solid-pop3d"],
        probe: "usr/sbin/solid-pop3d",
    },
    Server {
        name: "exim",
        packages: &["exim4-base", "exim4-daemon-light"],
        probe: "usr/sbin/exim4",
    },
    Server {
        name: "postfix",
        packages: &["postfix"],
        probe: "usr/lib/postfix/sbin/smtpd",
    },
];

/// Unpacks the servers that are missing. Nobody needs to be root for it.
///
/// # Errors
/// A package cannot be had.
pub(crate) fn unpack_missing() -> Result<()> {
    let place = tree::root().join("target/servers");
    let missing = SERVERS
        .iter()
        .filter(|server| !place.join(server.name).join(server.probe).is_file());
    let missing: Vec<&Server> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    for tool in ["apt-get", "dpkg-deb"] {
        if !package::on_path(tool) {
            bail!(
                "`{tool}` is not there: unpack {} below `{}` by your system's own means",
                names(&missing).join(" and "),
                place.display()
            );
        }
    }
    package::refresh()?;
    for server in missing {
        unpack(server, &place).with_context(|| format!("unpacking {}", server.name))?;
    }
    Ok(())
}

fn names(servers: &[&Server]) -> Vec<&'static str> {
    servers.iter().map(|server| server.name).collect()
}

/// Unpacks beside the place and moves there what is whole.
fn unpack(server: &Server, place: &Path) -> Result<()> {
    let (new, debs) = (
        place.join(format!("{}.new", server.name)),
        place.join(format!("{}.packages", server.name)),
    );
    for directory in [&new, &debs] {
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
        fs::create_dir_all(directory)?;
    }
    let mut packages: Vec<String> = server.packages.iter().map(ToString::to_string).collect();
    packages.extend(missing_libraries(server)?);
    process::run(
        process::command("apt-get")
            .args(["--quiet", "download"])
            .args(&packages)
            .current_dir(&debs),
    )?;
    for deb in fs::read_dir(&debs)? {
        let deb: PathBuf = deb?.path();
        process::run(process::command("dpkg-deb").arg("-x").arg(&deb).arg(&new))?;
    }
    merge_libraries(&new)?;
    if !new.join(server.probe).is_file() {
        bail!("`{}` is not in the packages", server.probe);
    }
    let whole = place.join(server.name);
    if whole.exists() {
        fs::remove_dir_all(&whole)?;
    }
    fs::rename(&new, &whole)?;
    Ok(fs::remove_dir_all(&debs)?)
}

/// Moves what lies in `lib/` to `usr/lib/`: on an installed system they are the same directory.
fn merge_libraries(new: &Path) -> Result<()> {
    let (from, to) = (new.join("lib"), new.join("usr/lib"));
    if !from.exists() {
        return Ok(());
    }
    fs::create_dir_all(&to)?;
    process::run(
        process::command("cp")
            .arg("--archive")
            .arg(from.join("."))
            .arg(&to),
    )?;
    Ok(fs::remove_dir_all(&from)?)
}

/// The libraries that the server's packages depend on and that are not installed.
fn missing_libraries(server: &Server) -> Result<Vec<String>> {
    let depends = process::output_of(
        process::command("apt-cache")
            .arg("depends")
            .args(server.packages),
    )?;
    let libraries = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|package| package.starts_with("lib"));
    let plan = process::output_of(
        process::command("apt-get")
            .args([
                "--quiet",
                "--simulate",
                "--no-install-recommends",
                "--no-upgrade",
                "install",
            ])
            .args(libraries),
    )?;
    let installed = plan.lines().filter_map(|line| line.strip_prefix("Inst "));
    let names = installed.filter_map(|rest| rest.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}
