//! SIGHUP and systemd's part: what changes, what stays, and what is said about it.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::user::{Client, PATIENCE, Server, User};

const PORTS: &str = "listen = [\"127.0.0.1:0\"]\nlisten_tls = [\"127.0.0.1:0\"]\n";

/// A user with a passwd-file of `ann`, and the server.
fn served(pop3: &str) -> (User, Server) {
    let user = User::with(&configuration(pop3, "users"));
    fs::write(user.path("users"), "ann:{PLAIN}open:::::\n").unwrap();
    let server = user.serve();
    (user, server)
}

fn configuration(pop3: &str, users: &str) -> String {
    format!(
        "[pop3]\n{PORTS}{pop3}\n[accounts]\nsource = \"passwd-file\"\npasswd_file = \"{users}\"\n\
         failure_time = \"0s\"\n"
    )
}

fn reload(user: &User, server: &mut Server, text: &str) {
    fs::write(user.path("r.toml"), text).unwrap();
    server.signal(Signal::HUP);
    server.wait_for("configuration and certificates read again");
}

/// What is said when a reload is refused, up to its last line.
fn refusal(server: &mut Server, last: &str) -> String {
    server.signal(Signal::HUP);
    let before = server.wait_for("nothing reloaded");
    assert!(!before.contains("read again"), "{before}");
    server.wait_for(last)
}

/// The lines of the answer to CAPA.
fn capabilities(client: &mut Client) -> Vec<String> {
    assert!(client.say("CAPA").starts_with("+OK"));
    let lines = std::iter::from_fn(|| Some(client.line()).filter(|line| line != ".\r\n"));
    lines.map(|line| line.trim_end().to_owned()).collect()
}

/// The socket goes a moment after the reload has been said.
fn wait_until_closed(address: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "{address} stays open");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_reload_changes_settings_for_connections_that_begin_after_it() {
    let (user, mut server) = served("");
    let address = server.plain_address();
    let mut before = Client::connect(address);
    reload(
        &user,
        &mut server,
        &configuration("cleartext_login = false\n", "users"),
    );
    let mut after = Client::connect(address);
    assert!(after.say("USER ann").starts_with("-ERR"));
    assert!(before.say("USER ann").starts_with("+OK"));
    assert!(before.say("PASS open").starts_with("+OK"));
    let pop3 = "mechanisms = [\"SCRAM-SHA-256\"]\napop = true\n";
    reload(&user, &mut server, &configuration(pop3, "users"));
    let capabilities = capabilities(&mut Client::connect(address));
    assert!(
        capabilities.contains(&"SASL SCRAM-SHA-256".to_owned()),
        "{capabilities:?}"
    );
    assert!(before.say("QUIT").starts_with("+OK"));
}

#[test]
fn a_reload_changes_where_accounts_come_from_and_limits() {
    let (user, mut server) = served("");
    let address = server.plain_address();
    let (mut ann, accepted) = Client::login(address, "ann", "open");
    assert!(accepted);
    fs::write(
        user.path("others"),
        "ben:{PLAIN}open:::::\nann:{PLAIN}new:::::\n",
    )
    .unwrap();
    let text = configuration("", "others") + "[limits]\nconnections_per_account = 1\n";
    reload(&user, &mut server, &text);
    assert!(Client::login(address, "ben", "open").1);
    // The password that was right in the other file is not known here.
    assert!(!Client::login(address, "ann", "open").1);
    assert!(ann.say("STAT").starts_with("+OK"));
    assert!(ann.say("QUIT").starts_with("+OK"));
    let (_first, accepted) = Client::login(address, "ann", "new");
    assert!(accepted);
    let mut second = Client::connect(address);
    second.say("USER ann");
    assert!(second.say("PASS new").starts_with("-ERR [IN-USE]"));
}

#[test]
fn a_new_port_needs_a_restart_in_the_sandbox_and_an_old_one_is_closed_at_once() {
    let (user, mut server) = served("");
    let first = server.plain_address();
    let both = configuration("cleartext_login = false\n", "users");
    let moved = both.replace("listen = [\"127.0.0.1:0\"]", "listen = [\"127.0.0.2:0\"]");
    fs::write(user.path("r.toml"), moved).unwrap();
    refusal(
        &mut server,
        "the sandbox lets a running server take no new port",
    );
    assert!(Client::connect(first).say("USER ann").starts_with("+OK"));
    let one = both.replace("listen = [\"127.0.0.1:0\"]", "listen = []");
    reload(&user, &mut server, &one);
    wait_until_closed(first);
}

#[test]
fn accounts_out_of_the_sandboxs_reach_need_a_restart_and_the_old_ones_serve_on() {
    let (user, mut server) = served("");
    let elsewhere = tempfile::tempdir().unwrap();
    let users = elsewhere.path().join("users");
    fs::write(&users, "").unwrap();
    let database = format!(
        "[pop3]\n{PORTS}[accounts]\nsource = \"sql\"\nfailure_time = \"0s\"\n[accounts.sql]\n\
         database = \"sqlite://{}\"\npassword_query = \"SELECT :user, '' AS password\"\n",
        users.display()
    );
    for text in [database, configuration("", users.to_str().unwrap())] {
        fs::write(user.path("r.toml"), text).unwrap();
        refusal(
            &mut server,
            "the sandbox lets a running server read no new directory: restart it",
        );
        assert!(Client::login(server.plain_address(), "ann", "open").1);
    }
}

#[test]
fn a_release_reads_names_as_the_last_reload_does() {
    let user = User::with(&(configuration("", "users") + "[bans]\nfailures = 1\n"));
    fs::write(user.path("users"), "ann@example.com:{PLAIN}open:::::\n").unwrap();
    let mut server = user.serve();
    let text =
        configuration("", "users") + "default_domain = \"example.com\"\n[bans]\nfailures = 1\n";
    reload(&user, &mut server, &text);
    for password in ["one", "two", "three"] {
        Client::login(server.plain_address(), "ann", password);
    }
    server.wait_for("name banned name=\"ann@example.com\"");
    let released = user.run(&["bans", "release", "Ann"]);
    assert_eq!(
        (released.code, released.stderr.as_str()),
        (0, "`Ann` released\n")
    );
    assert!(Client::login(server.plain_address(), "ann", "open").1);
}

#[test]
fn a_reload_opens_and_closes_ports() {
    let user = User::with(&(configuration("", "users") + "[sandbox]\nenabled = false\n"));
    fs::write(user.path("users"), "ann:{PLAIN}open:::::\n").unwrap();
    let mut server = user.serve();
    let first = server.plain_address();
    let mut session = Client::connect(first);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let second: SocketAddr = free.local_addr().unwrap();
    drop(free);
    let text = configuration("", "users").replace(
        "listen = [\"127.0.0.1:0\"]",
        &format!("listen = [\"{second}\"]"),
    ) + "[sandbox]\nenabled = false\n";
    reload(&user, &mut server, &text);
    Client::connect(second);
    wait_until_closed(first);
    assert!(session.say("NOOP").starts_with("-ERR"));
    assert!(session.say("QUIT").starts_with("+OK"));
}

#[test]
fn a_port_that_cannot_be_had_leaves_everything_as_it_was() {
    let (user, mut server) = served("");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    let text = configuration("cleartext_login = false\n", "users").replace(
        "listen = [\"127.0.0.1:0\"]",
        &format!("listen = [\"{}\"]", taken.1),
    );
    fs::write(user.path("r.toml"), text).unwrap();
    refusal(&mut server, &format!("cannot listen on {}", taken.1));
    let mut client = Client::connect(server.plain_address());
    assert!(client.say("USER ann").starts_with("+OK"));
}

#[test]
fn a_broken_configuration_is_refused_with_file_line_and_key_and_the_old_one_goes_on() {
    let (user, mut server) = served("");
    let address = server.plain_address();
    let good = configuration("", "users");
    for (text, place, key) in [
        (
            format!("{good}[limits]\nconections = 5\n"),
            "r.toml:10:1: error: unknown key",
            "limits.conections",
        ),
        (
            good.replace("\"0s\"", "\"soon\""),
            "r.toml:8:16: error: ",
            "accounts.failure_time",
        ),
        (
            good.replace("\"users\"", "\"nobodys\""),
            "r.toml:7:15: error: ",
            "accounts.passwd_file",
        ),
        (
            format!("{good}[tls]\ncertificate = \"r.toml\"\nkey = \"r.toml\"\n"),
            "r.toml:10:15: error: ",
            "tls.certificate",
        ),
    ] {
        // What is changed beside it must not take effect either.
        let text = text.replace("[accounts]", "cleartext_login = false\n[accounts]");
        let place = match place.split_once(':') {
            Some((file, rest)) => {
                let (line, rest) = rest.split_once(':').unwrap();
                format!("{file}:{}:{rest}", line.parse::<u32>().unwrap() + 1)
            }
            None => unreachable!(),
        };
        fs::write(user.path("r.toml"), &text).unwrap();
        server.signal(Signal::HUP);
        server.wait_for("nothing reloaded");
        let line = server.log.recv_timeout(PATIENCE).unwrap();
        assert!(line.contains(&place), "{line}\n{place}\n{text}");
        assert!(line.contains(&format!("`{key}`")), "{line}");
        assert!(Client::login(address, "ann", "open").1);
    }
    fs::remove_file(user.path("r.toml")).unwrap();
    refusal(&mut server, "cannot be read");
    reload(&user, &mut server, &good);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_needs_a_restart_is_said_and_stays() {
    let (user, mut server) = served("");
    let text = format!(
        "data = \"elsewhere\"\n{}[sandbox]\nenabled = false\n[mail]\nundelete_for = \"1d\"\n\
         [log]\nformat = \"json\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n\
         [tls.acme]\ndomains = [\"pop.example.com\"]\nterms_of_service_agreed = true\n\
         directory = \"https://127.0.0.1:1/dir\"\nlisten = [\"127.0.0.1:0\"]\n",
        configuration("", "users")
    );
    fs::write(user.path("r.toml"), text).unwrap();
    server.signal(Signal::HUP);
    let said = server.wait_for("read again");
    for key in ["data", "sandbox", "mail", "http", "tls.acme", "log.format"] {
        let line = said
            .lines()
            .find(|line| line.contains(&format!("key=\"{key}\"")));
        assert!(
            line.is_some_and(|line| line.contains("takes effect at a restart")),
            "{said}"
        );
    }
    assert!(!user.path("elsewhere").exists());
}

#[test]
fn a_reload_changes_how_much_is_logged() {
    let (user, mut server) = served("");
    let address = server.plain_address();
    let text = configuration("", "users") + "[log]\nlevel = \"error\"\n";
    fs::write(user.path("r.toml"), &text).unwrap();
    server.signal(Signal::HUP);
    // What says that it was done is not said under the new level: the next reload is waited for.
    let mut client = Client::connect(address);
    while !client.say("QUIT").is_empty() {}
    reload(&user, &mut server, &configuration("", "users"));
    let (mut client, accepted) = Client::login(address, "ann", "open");
    assert!(accepted);
    client.say("QUIT");
    server.wait_for("session ended");
}

/// A socket for the server to report to.
fn notified(user: &User) -> (UnixDatagram, Command) {
    let path = user.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = user.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path);
    (socket, command)
}

fn received(socket: &UnixDatagram) -> String {
    let mut octets = [0; 128];
    let count = socket.recv(&mut octets).unwrap();
    String::from_utf8(octets[..count].to_vec()).unwrap()
}

#[test]
fn systemd_is_told_of_a_reload_from_its_beginning_to_its_end() {
    let user = User::new();
    let (socket, command) = notified(&user);
    let server = Server::start(command);
    assert_eq!(received(&socket), "READY=1");
    for broken in [false, true] {
        if broken {
            fs::write(user.path("r.toml"), "nonsense").unwrap();
        }
        server.signal(Signal::HUP);
        let reloading = received(&socket);
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(time.unwrap().parse::<u64>().unwrap() > 0);
        assert_eq!(received(&socket), "READY=1");
    }
    assert_eq!(server.stop(), Some(0));
    assert_eq!(received(&socket), "STOPPING=1");
}

#[test]
fn systemds_watchdog_is_fed_while_it_watches_this_process() {
    let user = User::new();
    let (socket, mut command) = notified(&user);
    command.env("WATCHDOG_USEC", "200000");
    let server = Server::start(command);
    assert_eq!(received(&socket), "READY=1");
    // Those that wait in the socket already tell nothing of the time.
    for _ in 0..5 {
        assert_eq!(received(&socket), "WATCHDOG=1");
    }
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(received(&socket), "WATCHDOG=1");
    }
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    server.signal(Signal::TERM);
    while received(&socket) != "STOPPING=1" {}
    drop(server);

    fs::remove_file(user.path("notify")).unwrap();
    let (socket, mut command) = notified(&user);
    command
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", "1");
    let server = Server::start(command);
    assert_eq!(received(&socket), "READY=1");
    server.signal(Signal::TERM);
    assert_eq!(received(&socket), "STOPPING=1");
}
