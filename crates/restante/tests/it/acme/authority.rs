//! A certificate authority of the test's own: Debian's `pebble`, which speaks ACME as real ones do
//! and forgets everything when it ends, and the name server of the same package, which says that
//! every name is here.

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificate;
use crate::operation::free_port;

const START_LIMIT: Duration = Duration::from_secs(30);

/// What pebble is told.
pub(super) struct Wanted {
    /// Where it looks for the answers to challenges.
    pub(super) http: u16,
    pub(super) tls: u16,
    /// How long its certificates are valid.
    pub(super) seconds: u64,
    /// Whether it looks at all, or believes.
    pub(super) looks: bool,
    /// The identifier and the key, in base64url, of the account that it wants to be told of.
    pub(super) external: Option<(&'static str, &'static str)>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            http: 0,
            tls: 0,
            seconds: 90 * 24 * 60 * 60,
            looks: true,
            external: None,
        }
    }
}

/// A running authority. Dropping it ends it.
pub(super) struct Authority {
    directory: TempDir,
    api: SocketAddr,
    management: SocketAddr,
    names: SocketAddr,
    looks: bool,
    processes: Vec<Child>,
}

impl Authority {
    pub(super) fn start(wanted: &Wanted) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("pebble-")
            .tempdir()
            .unwrap();
        // The certificate of its own server, which has nothing to do with those that it signs.
        certificate::write(directory.path());
        let (api, management, names) = (free_port(), free_port(), free_name_port());
        let path = |name: &str| directory.path().join(name).display().to_string();
        let Wanted {
            http,
            tls,
            seconds,
            external,
            ..
        } = wanted;
        let keys = external.map_or_else(String::new, |(id, key)| format!(r#""{id}": "{key}""#));
        let configuration = format!(
            r#"{{"pebble": {{
                "listenAddress": "{api}",
                "managementListenAddress": "{management}",
                "certificate": "{}",
                "privateKey": "{}",
                "httpPort": {http},
                "tlsPort": {tls},
                "ocspResponderURL": "",
                "externalAccountBindingRequired": {},
                "externalAccountMACKeys": {{{keys}}},
                "certificateValidityPeriod": {seconds}
            }}}}"#,
            path("certificate.pem"),
            path("key.pem"),
            external.is_some(),
        );
        fs::write(directory.path().join("pebble.json"), configuration).unwrap();
        let names_manager = free_port();
        let mut name_server = Command::new("pebble-challtestsrv");
        name_server.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        name_server.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        name_server.args(["-dns01", &names.to_string()]);
        name_server.args(["-management", &names_manager.to_string()]);
        let mut authority = Self {
            directory,
            api,
            management,
            names,
            looks: wanted.looks,
            processes: Vec::new(),
        };
        authority.run(&mut name_server, "names.log");
        authority.wait_for(names_manager);
        authority.run_pebble();
        authority
    }

    fn run_pebble(&mut self) {
        let mut pebble = Command::new("pebble");
        pebble.args(["-strict", "-dnsserver", &self.names.to_string()]);
        pebble.arg("-config");
        pebble.arg(self.directory.path().join("pebble.json"));
        pebble.env("PEBBLE_VA_NOSLEEP", "1");
        pebble.env("PEBBLE_AUTHZREUSE", "0");
        if !self.looks {
            pebble.env("PEBBLE_VA_ALWAYS_VALID", "1");
        }
        self.run(&mut pebble, "pebble.log");
        self.wait_for(self.api);
        self.wait_for(self.management);
    }

    fn run(&mut self, command: &mut Command, name: &str) {
        let log = |name: &str| fs::File::create(self.directory.path().join(name)).unwrap();
        let process = command
            .stdin(Stdio::null())
            .stdout(log(name))
            .stderr(log(&format!("{name}.errors")))
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        self.processes.push(process);
    }

    /// Forgets every account and order, and has other keys.
    pub(super) fn forget_everything(&mut self) {
        let mut pebble = self.processes.pop().unwrap();
        pebble.kill().unwrap();
        pebble.wait().unwrap();
        self.run_pebble();
    }

    fn wait_for(&self, address: SocketAddr) {
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{address}:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The URL of its directory.
    pub(super) fn url(&self) -> String {
        format!("https://{}/dir", self.api)
    }

    /// The authority that has signed its own server's certificate.
    pub(super) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// The root of the certificates that it signs.
    pub(super) fn root(&self) -> Vec<u8> {
        let ran = Command::new("curl")
            .args(["-q", "--silent", "--fail", "--cacert"])
            .arg(self.ca_file())
            .arg(format!("https://{}/roots/0", self.management))
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        ran.stdout
    }

    /// What it has said so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("pebble.log")).unwrap_or_default()
    }

    /// Is gone from now on.
    pub(super) fn end(&mut self) {
        for process in &mut self.processes {
            // An error says that it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Authority {
    #[expect(clippy::print_stderr, reason = "half of what went wrong is there")]
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            eprintln!("pebble said:\n{}", self.log());
        }
    }
}

/// An address that is free for UDP.
fn free_name_port() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}
