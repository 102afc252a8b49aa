//! Courier's POP3 server: its authentication daemon, and a login process for each connection, which
//! becomes the one that knows mail.

use std::fs;

use super::acceptor::Acceptor;
use super::cell::{Cell, PORT, READER_ID, SERVER_ID, TLS_PORT};
use super::{ForeignServer, READER, Speaks, maildir};
use crate::server::PASSWORD;

const AUTHENTICATION: &str = r#"
authmodulelist="authuserdb"
authmodulelistorig="authuserdb"
daemons=1
authdaemonvar=/run/courier/authdaemon
DEBUG_LOGIN=0
DEFAULTOPTIONS=""
LOGGEROPTS=""
"#;

/// What the service's scripts read out of `/etc/courier` and put there.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("COURIERTLS", "/usr/bin/couriertls"),
    ("TLS_CERTFILE", "/etc/tls/both.pem"),
    ("TLS_VERIFYPEER", "NONE"),
    ("TCPREMOTEIP", "127.0.0.1"),
    ("TCPREMOTEPORT", "1"),
    ("TCPLOCALIP", "127.0.0.1"),
    ("TCPLOCALPORT", "110"),
    ("POP3AUTH", MECHANISMS),
    ("POP3AUTH_TLS", MECHANISMS),
];
const MECHANISMS: &str = "PLAIN LOGIN CRAM-MD5";

const LOGIN: [&str; 3] = [
    "/usr/lib/courier/courier/courierpop3login",
    "/usr/lib/courier/courier/courierpop3d",
    "Maildir",
];

pub(crate) struct Courier {
    _acceptors: [Acceptor; 2],
    cell: Cell,
}

impl Courier {
    pub(crate) fn start() -> Self {
        let cell = Cell::new("courier");
        maildir::create(&cell);
        cell.write("etc/courier/authdaemonrc", AUTHENTICATION);
        cell.make_directory("run/courier/authdaemon", SERVER_ID);
        cell.make_directory("var/lib/courier", SERVER_ID);
        write_accounts(&cell);
        let [certificate, key] = ["certificate", "key"]
            .map(|name| fs::read_to_string(cell.path(&format!("etc/tls/{name}.pem"))).unwrap());
        cell.write("etc/tls/both.pem", &(key + &certificate));
        cell.start(&["/usr/lib/courier/courier-authlib/authdaemond"]);
        let socket = cell.path("run/courier/authdaemon/socket");
        cell.wait_until(|| socket.exists());
        let clear = [&ENVIRONMENT[..], &[("POP3_STARTTLS", "YES")]].concat();
        let tls = [&ENVIRONMENT[..], &[("POP3_TLS", "1")]].concat();
        let words = [&["/usr/bin/couriertls", "-server", "-tcpd"][..], &LOGIN].concat();
        Self {
            _acceptors: [
                Acceptor::open(cell.address(PORT), cell.recipe(&clear, &LOGIN)),
                Acceptor::open(cell.address(TLS_PORT), cell.recipe(&tls, &words)),
            ],
            cell,
        }
    }
}

/// The two databases that `makeuserdb` makes.
fn write_accounts(cell: &Cell) {
    let stored = |flags: &[&str]| {
        let words = [&["/usr/sbin/userdbpw"][..], flags].concat();
        let output = cell.run(&words, &format!("{PASSWORD}\n"));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let place = format!("uid={READER_ID}|gid={READER_ID}|home=/home/reader|_=");
    let secrets = format!(
        "systempw={}|hmac-md5pw={}",
        stored(&["-md5"]),
        stored(&["-hmac-md5"])
    );
    for (name, fields) in [("userdb", place), ("userdbshadow", secrets)] {
        let database = format!("/etc/courier/{name}.dat");
        let words = [
            "/usr/lib/courier/courier-authlib/makedatprog",
            "-",
            "/etc/courier/new",
            &database,
        ];
        cell.run(&words, &format!("{READER}\t{fields}\n.\n"));
    }
}

impl ForeignServer for Courier {
    fn name(&self) -> &'static str {
        "Courier"
    }

    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn speaks(&self) -> Speaks {
        Speaks::Tls
    }
}
