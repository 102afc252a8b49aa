//! aiosmtpd, a server of others, as LMTP and SMTP server, on TCP and on a socket of this machine.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use super::*;

/// Keeps each message in a file of its own, and refuses who is named so.
const SERVER: &str = r#"
import asyncio, sys
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP
directory, kind, where = sys.argv[1:]
class Keeper:
    count = 0
    async def handle_DATA(self, server, session, envelope):
        if b'Subject: never' in envelope.content:
            return '554 5.6.0 never'
        if b'Subject: later' in envelope.content:
            return '451 4.3.0 later'
        open(f'{directory}/{self.count}', 'wb').write(envelope.content)
        Keeper.count += 1
        return f'250 2.0.0 {envelope.mail_from} {envelope.rcpt_tos}'
async def main():
    protocol = {'lmtp': LMTP, 'smtp': SMTP}[kind]
    loop = asyncio.get_running_loop()
    make = lambda: protocol(Keeper(), data_size_limit=40_000_000, loop=loop)
    if where == 'tcp':
        server = await loop.create_server(make, '127.0.0.1', 0)
        print(server.sockets[0].getsockname()[1], flush=True)
    else:
        server = await loop.create_unix_server(make, where)
        print(0, flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

struct Aiosmtpd {
    child: Child,
    kept: TempDir,
    port: u16,
}

impl Aiosmtpd {
    fn start(kind: &str, place: &str) -> Self {
        let kept = tempfile::tempdir().unwrap();
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", SERVER])
            .arg(kept.path())
            .args([kind, place])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line
            .trim()
            .parse()
            .expect("`cargo xtask test` installs python3-aiosmtpd");
        Self { child, kept, port }
    }

    fn kept(&self, number: usize) -> Vec<u8> {
        std::fs::read(self.kept.path().join(number.to_string())).unwrap()
    }
}

impl Drop for Aiosmtpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// PRJ-FETCH-13
#[tokio::test(flavor = "multi_thread")]
async fn prj_fetch_13_aiosmtpd_takes_messages_octet_for_octet() {
    let sockets = tempfile::tempdir().unwrap();
    let socket = sockets.path().join("lmtp.sock");
    let large = [
        b"Subject: large\r\n\r\n".to_vec(),
        b".a line\r\n".repeat(100_000),
    ]
    .concat();
    let messages: [&[u8]; 5] = [
        b"Return-Path: <a@b.example>\r\nSubject: one\r\n\r\n.\r\n..\r\nFrom me\r\n\r\n",
        b"Subject: later\r\n\r\nx\r\n",
        &large,
        b"Subject: never\r\n\r\nx\r\n",
        b"Subject: 8 bits\r\n\r\n\xff\xfe\0\r\n",
    ];
    for (dialect, kind, place) in [
        (Dialect::Lmtp, "lmtp", socket.to_str().unwrap()),
        (Dialect::Lmtp, "lmtp", "tcp"),
        (Dialect::Smtp, "smtp", "tcp"),
    ] {
        let server = Aiosmtpd::start(kind, place);
        let peer = match place {
            "tcp" => Peer::Tcp {
                host: "127.0.0.1".into(),
                port: server.port,
                security: Security::None,
            },
            path => Peer::Unix(path.into()),
        };
        let settings = MailServerSettings {
            deadlines: Deadlines::default(),
            ..settings(dialect, peer)
        };
        let place = Place::new(settings);
        let results = hand_on(&mut place.open(), &messages).await;
        assert!(
            results[0].is_ok() && results[2].is_ok() && results[4].is_ok(),
            "{results:?}"
        );
        assert!(
            matches!(&results[1], Err(DestinationError::RefusedNow { .. })),
            "{results:?}"
        );
        assert!(
            matches!(&results[3], Err(DestinationError::Refused { .. })),
            "{results:?}"
        );
        for (number, message) in [(0, messages[0]), (1, messages[2]), (2, messages[4])] {
            assert!(server.kept(number) == message, "{kind}: {number}");
        }
    }
}
