//! Messages that break mail programs, with the exact octets that RETR owes for each.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::write::GzEncoder;

/// One message: how it lies in the Maildir and how it goes over the wire.
#[derive(Clone)]
pub(crate) struct Letter {
    /// What is odd about it; unique in the corpus.
    pub(crate) name: &'static str,
    /// The file's octets.
    pub(crate) stored: Vec<u8>,
    /// What a client holds after RETR, byte-stuffing undone: line ends are CRLF, a last line
    /// without an end got one, all else is as stored.
    pub(crate) wire: Vec<u8>,
    /// How Dovecot compressed the file, if it did; `stored` is the text inside.
    packed: Packing,
}

#[derive(Clone, Copy)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Letter {
    pub(crate) fn new(name: &'static str, stored: impl Into<Vec<u8>>) -> Self {
        let stored = stored.into();
        let wire = on_the_wire(&stored);
        Self {
            name,
            stored,
            wire,
            packed: Packing::None,
        }
    }

    fn packed(self, packed: Packing) -> Self {
        Self { packed, ..self }
    }

    fn file(&self) -> Vec<u8> {
        match self.packed {
            Packing::None => self.stored.clone(),
            Packing::Gzip => {
                let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
                gzip.write_all(&self.stored).unwrap();
                gzip.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(self.stored.as_slice(), 3).unwrap(),
        }
    }
}

/// RFC 1939 §3 and §11, written anew for the tests: CRLF line ends, everything else untouched.
pub(crate) fn on_the_wire(stored: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(stored.len() + stored.len() / 32 + 2);
    let mut before = 0;
    for &octet in stored {
        if octet == b'\n' && before != b'\r' {
            wire.push(b'\r');
        }
        wire.push(octet);
        before = octet;
    }
    if !stored.is_empty() && before != b'\n' {
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

/// Everything odd but large, in the order in which the server must number it.
pub(crate) fn corpus() -> Vec<Letter> {
    let mut letters = plain_letters();
    letters.extend([
        Letter::new("long line", long_line()),
        Letter::new("five megabytes", large(5 << 20)),
        Letter::new("gzip", letter("gzip", "packed by Dovecot\n.\n\nend\n")).packed(Packing::Gzip),
        Letter::new("zstd", letter("zstd", "packed by Dovecot\n..\nend")).packed(Packing::Zstd),
        Letter::new("the last one", letter("the last one", "Good-bye.\n")),
    ]);
    letters
}

fn plain_letters() -> Vec<Letter> {
    let head = "From: a@example.org\nTo: b@example.org\n";
    vec![
        Letter::new("plain", letter("plain", "Dear reader,\n\nthis is plain.\n")),
        Letter::new("8-bit header", {
            let mut text = b"From: M\xfcller <m@example.org>\nSubject: \xe9t\xe9 ".to_vec();
            text.extend("grüße\n\nÄ body: \u{1F4EC}\n".as_bytes());
            text.extend(b"latin-1: \xe4\xf6\xfc\xff\xfe\x80\n");
            text
        }),
        Letter::new("NULs", letter("N\0UL", "a\0b\n\0\n\0\0\0\nend\0\n")),
        Letter::new("dots", letter("dots", ".\n..\n...\n.a\na.\n\n.\n. \n.\n\n")),
        Letter::new("dot at the end", letter("dot at the end", "text\n.")),
        Letter::new("no final line end", letter("no final line end", "cut here")),
        Letter::new(
            "CRLF",
            letter("CRLF", "one\n.\n\ntwo\n").replace('\n', "\r\n"),
        ),
        Letter::new(
            "CRLF without the last",
            letter("CRLF", "one\n.").replace('\n', "\r\n"),
        ),
        Letter::new(
            "mixed ends",
            "From: a@example.org\r\nSubject: mixed\n\r\na\r\nb\n.\r\n.\nc",
        ),
        Letter::new(
            "lone CRs",
            letter("lone CRs", "a\rb\r.\rc\n\r\nd\r\r\n.\r.\n\rend\n"),
        ),
        Letter::new("CR at the end", letter("CR at the end", "a\n.\r")),
        Letter::new("empty body", format!("{head}Subject: empty body\n\n")),
        Letter::new("header only", format!("{head}Subject: header only\n")),
        Letter::new(
            "header only, cut",
            format!("{head}Subject: header only, cut"),
        ),
        Letter::new("body only", "\nno header at all\n"),
        Letter::new("empty", ""),
        Letter::new("one line end", "\n"),
        Letter::new(
            "From lines",
            letter("From", "From here\n>From there\n\nFrom me\n"),
        ),
        Letter::new(
            "odd white space",
            letter("space", "a \nb\t\n\x0c\n\x0b \x07\x1b[1m\x7f\n  \n"),
        ),
        Letter::new("many lines", letter("many lines", &".\n\n".repeat(20_000))),
    ]
}

fn letter(subject: &str, body: &str) -> String {
    format!(
        "From: Writer <writer@example.org>\nTo: reader@example.com\nSubject: {subject}\n\
         Date: Fri, 21 Nov 2026 09:00:00 +0100\nMessage-ID: <{}@example.org>\n\n{body}",
        subject.len() * 1000 + body.len()
    )
}

fn long_line() -> String {
    let mut body = "x".repeat(100_000);
    body.push('\n');
    body.push_str(&".".repeat(100_000));
    body.push('\n');
    letter("long line", &body)
}

/// A message of at least so many octets; every line differs, so that a shifted one shows.
pub(crate) fn large(octets: usize) -> Vec<u8> {
    let mut text = letter("large", "");
    let mut line = 0_u64;
    while text.len() < octets {
        let dot = if line.is_multiple_of(7) { "." } else { "" };
        writeln!(
            text,
            "{dot}{line:016x} The quick brown fox jumps over the lazy dog"
        )
        .unwrap();
        line += 1;
    }
    text.into_bytes()
}

/// Writes the letters into a new Maildir as other programs leave them: in `new` and in `cur`,
/// with and without sizes in the names; numbered as they stand in the list.
pub(crate) fn write_maildir(maildir: &Path, letters: &[Letter]) {
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(folder)).unwrap();
    }
    for (index, letter) in letters.iter().enumerate() {
        let time = 1_700_000_000 + index;
        let sizes = match index % 3 {
            0 => String::new(),
            1 => format!(",S={}", letter.stored.len()),
            _ => format!(",S={},W={}", letter.stored.len(), letter.wire.len()),
        };
        let base = format!("{time}.M{index}P7.post.example{sizes}");
        let path = match index % 4 {
            0 => maildir.join("new").join(base),
            1 => maildir.join("cur").join(base),
            _ => maildir.join("cur").join(format!("{base}:2,S")),
        };
        fs::write(path, letter.file()).unwrap();
    }
}
