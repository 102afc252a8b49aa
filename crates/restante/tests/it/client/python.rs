//! Python's poplib: lines without their CRLF, at most 2048 octets unless the program raises it.

use super::{Client, Policy, Transport, every_way, fetch_by_script};
use crate::corpus::Letter;
use crate::server::Server;

/// `_MAXLINE` is poplib's bound on a line; programs that fetch real mail raise it.
const SCRIPT: &str = r#"
import os, poplib, ssl, sys
transport, policy, host, port, authority, user, password, directory = sys.argv[1:]
poplib._MAXLINE = 1 << 20
context = ssl.create_default_context(cafile=authority)
if transport == "Tls":
    pop = poplib.POP3_SSL(host, int(port), context=context, timeout=60)
else:
    pop = poplib.POP3(host, int(port), timeout=60)
if transport == "Stls":
    pop.stls(context)
pop.user(user)
pop.pass_(password)
count, total = pop.stat()
sizes = [int(line.split()[1]) for line in pop.list()[1]]
uids = [line.split()[1] for line in pop.uidl()[1]]
assert len(sizes) == count == len(set(uids)) == len(uids)
assert sum(sizes) == total
for number in range(1, count + 1):
    _, lines, _ = pop.retr(number)
    message = b"".join(line + b"\r\n" for line in lines)
    assert len(message) == sizes[number - 1], (number, len(message), sizes[number - 1])
    assert pop.top(number, 1 << 30)[1] == lines
    with open(os.path.join(directory, str(number)), "wb") as file:
        file.write(message)
    if policy == "Delete":
        pop.dele(number)
pop.quit()
print(count)
"#;

struct Python;

impl Client for Python {
    fn fetch(&self, server: &Server, transport: Transport, policy: Policy) -> Vec<Vec<u8>> {
        fetch_by_script(server, transport, policy, ["python3", "-c", SCRIPT])
    }

    fn stores(&self, letter: &Letter) -> Option<Vec<u8>> {
        Some(letter.wire.clone())
    }
}

every_way! {
    Python;
    e2e_python_plain_keep: Plain Keep,
    e2e_python_plain_delete: Plain Delete,
    e2e_python_stls_keep: Stls Keep,
    e2e_python_stls_delete: Stls Delete,
    e2e_python_tls_keep: Tls Keep,
    e2e_python_tls_delete: Tls Delete,
}
