//! A Debian that nobody has touched, with an operating systemd, to try packages on.
//!
//! ```text
//! unshare: namespaces of mounts, processes, network, host name, IPC and control groups
//! └─ target/deb/root as /: systemd as process 1, tmpfs for /run, /tmp and /dev
//! ```
//!
//! Nothing of this machine is mounted into it or can be seen from it, its network is a loopback of its own, and all its
//! mounts are in a namespace that ends with its last process: when the first one is killed, nothing
//! is left to unmount, and what is removed then is the tree alone.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{package, process, tree};

/// A file that the clean root has and no other system.
pub(crate) const MARK: &str = "/.clean-root";

const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Enters a control group of its own, and then all other namespaces.
const SEPARATE: &str = "echo $$ > \"$1/cgroup.procs\"; \
    exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child sh -euc \"$2\" sh \"$3\"";

/// Inside the namespaces: what systemd wants to find, and then systemd.
const BOOT: &str = r#"
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
ln -s /proc/self/fd dev/fd
mkdir dev/pts
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mkdir -m 1777 dev/shm
echo pop.example.com > etc/hostname
printf '127.0.0.1 localhost pop.example.com\n::1 localhost\n' > etc/hosts
# Whoever runs us may live in a changed root, which cannot be moved: changing it again will do.
if pivot_root . . 2>/dev/null; then umount --lazy .; fi
exec chroot . env -i container=trial PATH="$PATH" /lib/systemd/systemd --log-target=journal --show-status=no
"#;

/// A tree with a fresh Debian. Dropping it removes the tree.
pub(crate) struct CleanRoot {
    directory: PathBuf,
}

impl CleanRoot {
    /// Makes one with these packages, from the place that this machine's packages come from.
    ///
    /// # Errors
    /// The packages cannot be had, or a tree of an earlier run cannot be removed.
    pub(crate) fn make(packages: &[&str]) -> Result<Self> {
        let place = tree::root().join("target/deb");
        fs::create_dir_all(&place)?;
        let archive = archive(&place, packages)?;
        let root = Self {
            directory: place.join("root"),
        };
        root.remove()?;
        fs::create_dir(&root.directory)?;
        process::run(
            process::command("tar")
                .args(["--extract", "--preserve-permissions", "--numeric-owner"])
                .arg("--file")
                .arg(&archive)
                .arg("--directory")
                .arg(&root.directory),
        )?;
        fs::write(root.path(MARK), "")?;
        Ok(root)
    }

    /// Where a path of its is from outside.
    fn path(&self, inside: &str) -> PathBuf {
        self.directory.join(inside.trim_start_matches('/'))
    }

    /// Copies a file into it.
    pub(crate) fn put(&self, file: &Path, to: &str) -> Result<()> {
        fs::copy(file, self.path(to)).with_context(|| format!("copying `{}`", file.display()))?;
        Ok(())
    }

    /// Starts its systemd and waits until it has started what it starts.
    ///
    /// # Errors
    /// This machine allows no namespaces, or systemd does not start in them.
    pub(crate) fn boot(&self) -> Result<Booted<'_>> {
        let group = Group::make()?;
        let mut outside = process::command("sh")
            .args(["-euc", SEPARATE, "sh"])
            .arg(&group.directory)
            .arg(BOOT)
            .arg(&self.directory)
            .env("PATH", SEARCH_PATH)
            .spawn()
            .context("starting `unshare`")?;
        let init = first_child(&mut outside)?;
        let booted = Booted {
            _root: self,
            outside,
            init,
            _group: group,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            // `degraded` is fine: some things of a machine are missing here.
            let state = booted
                .command(&["systemctl", "is-system-running"])
                .output()?;
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            match state.as_str() {
                "running" | "degraded" => return Ok(booted),
                _ if Instant::now() > deadline => bail!("systemd does not start: {state}"),
                _ => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Removes the tree, and nothing that is mounted in it.
    fn remove(&self) -> Result<()> {
        if !self.directory.exists() {
            return Ok(());
        }
        refuse_mounts(&self.directory)?;
        process::run(
            process::command("rm")
                .args(["--recursive", "--force", "--one-file-system", "--"])
                .arg(&self.directory),
        )
    }
}

impl Drop for CleanRoot {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("warning: {error:#}");
        }
    }
}

/// A removal that is recursive must not reach through a mount into something else.
fn refuse_mounts(directory: &Path) -> Result<()> {
    let directory = fs::canonicalize(directory)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("looking for mounts")?;
    // The fifth field is where it is mounted; spaces stand there as \040.
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let within = points.map(|point| point.replace("\\040", " "));
    match within
        .map(PathBuf::from)
        .find(|point| point.starts_with(&directory))
    {
        None => Ok(()),
        Some(point) => bail!(
            "`{}` is not removed: something is mounted at `{}`",
            directory.display(),
            point.display()
        ),
    }
}

/// The archive of a fresh Debian with these packages; one that is a week old is made anew.
fn archive(place: &Path, packages: &[&str]) -> Result<PathBuf> {
    const FRESH: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    let (archive, list) = (place.join("root.tar"), place.join("root.packages"));
    let wanted = packages.join("\n");
    let age = fs::metadata(&archive).and_then(|facts| facts.modified());
    let is_fresh = age.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < FRESH));
    if is_fresh && fs::read_to_string(&list).is_ok_and(|has| has == wanted) {
        return Ok(archive);
    }
    // Without its lists apt does not know where it would have packages from.
    package::refresh()?;
    let release = fs::read_to_string("/etc/os-release").context("which Debian this is")?;
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("`/etc/os-release` names no Debian release")?
        .to_owned();
    let new = place.join("root.new.tar");
    let mut make = process::command("mmdebstrap");
    make.args(["--variant=minbase", "--format=tar"])
        .arg(format!("--include={}", packages.join(",")))
        .args(proxies()?)
        .arg(&codename)
        .arg(&new);
    process::run(make.args(mirrors(&codename)?))?;
    fs::write(&list, wanted)?;
    fs::rename(&new, &archive)?;
    Ok(archive)
}

/// Where this machine has its Debian packages from, as lines of a sources.list.
fn mirrors(codename: &str) -> Result<Vec<String>> {
    let targets = process::output_of(process::command("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(SITE) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]))?;
    let mut lines: Vec<String> = targets
        .lines()
        .filter_map(|line| line.strip_prefix("Debian "))
        .filter(|line| line.ends_with(" main") && line.contains(codename))
        .map(|line| format!("deb {line}"))
        .collect();
    lines.sort();
    lines.dedup();
    if lines.is_empty() {
        bail!("apt knows no packages of Debian {codename}: `apt-get update`");
    }
    Ok(lines)
}

/// The proxies through which apt goes, if it does.
fn proxies() -> Result<Vec<String>> {
    let settings = process::output_of(process::command("apt-config").arg("dump"))?;
    let proxies = settings.lines().filter(|line| line.contains("::Proxy \""));
    Ok(proxies.map(|line| format!("--aptopt={line}")).collect())
}

/// A control group for all that runs in the root. Dropping it removes it.
struct Group {
    directory: PathBuf,
}

impl Group {
    fn make() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let unified = mounts
            .lines()
            .map(fields)
            .find(|fields| fields[2] == "cgroup2");
        let unified = unified.context("this machine has no control groups, version 2")?;
        let directory = Path::new(&unified[1]).join(format!("clean-root-{}", std::process::id()));
        fs::create_dir(&directory)
            .with_context(|| format!("making the control group `{}`", directory.display()))?;
        Ok(Self { directory })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last processes take a moment to be gone.
        for _ in 0..50 {
            if remove_group(&self.directory).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        eprintln!("warning: `{}` is left", self.directory.display());
    }
}

/// A control group has no files that could be removed: its directories are all there is.
fn remove_group(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_group(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

/// The number of the process that is number 1 inside.
fn first_child(outside: &mut Child) -> Result<u32> {
    let pid = outside.id();
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(status) = outside.try_wait()? {
            bail!(
                "no namespaces can be made here ({status}): it takes root, and a kernel that lets it"
            );
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        if let Some(Ok(child)) = children
            .ok()
            .and_then(|all| Some(all.split(' ').next()?.parse()))
        {
            return Ok(child);
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("`unshare` starts nothing")
}

/// A clean root whose systemd runs. Dropping it kills everything in it.
pub(crate) struct Booted<'r> {
    /// It must not be removed meanwhile.
    _root: &'r CleanRoot,
    outside: Child,
    init: u32,
    // Removed after the processes in it have been killed.
    _group: Group,
}

impl Booted<'_> {
    /// A command inside, as root types it.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = process::command("nsenter");
        command
            .arg(format!("--target={}", self.init))
            .args(["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"])
            .args([
                "--root",
                "--wd",
                "--",
                "env",
                "-i",
                "HOME=/root",
                "LC_ALL=C.UTF-8",
            ])
            .arg(format!("PATH={SEARCH_PATH}"))
            .args(words);
        command
    }

    /// Runs a command inside that must succeed, with this input; gives all that it said.
    ///
    /// # Errors
    /// It fails; the error has what it said.
    pub(crate) fn run_with(&self, words: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("starting `nsenter`")?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program may end without having read everything.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        match output.status.success() {
            true => Ok(said),
            false => bail!("`{}` failed ({}):\n{said}", words.join(" "), output.status),
        }
    }
}

impl Drop for Booted<'_> {
    fn drop(&mut self) {
        // `--kill-child`: process 1 dies with it, and with that all others.
        let _ = self.outside.kill();
        let _ = self.outside.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_mount_in_it_is_not_removed() {
        let refused = |path: &str| refuse_mounts(Path::new(path)).is_err();
        assert!(refused("/"));
        assert!(refused("/proc"));
        assert!(refused("/dev/../proc"));
        assert!(!refused("/proc/self/fdinfo"));
        refuse_mounts(&tree::root().join("docs")).unwrap();
    }
}
