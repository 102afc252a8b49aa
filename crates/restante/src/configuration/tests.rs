//! Bad files and what is said about them; good ones and what they mean.

mod acme;
mod oauth;
mod policy;
mod system;

use std::{path::PathBuf, time::Duration};

use super::*;

fn surroundings() -> Surroundings {
    Surroundings {
        home: Some(PathBuf::from("/home/me")),
        data_home: None,
        directory: PathBuf::from("/etc/restante"),
    }
}

fn read(text: &str) -> Result<Configuration, Problems> {
    Configuration::from_text(text, Some(PathBuf::from("r.toml")), &surroundings())
}

/// What is printed about a file.
fn complaint(text: &str) -> String {
    match read(text) {
        Ok(_) => format!("no complaint about:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}

/// Bad files, each with exactly what is printed about it.
const BAD: &[(&str, &str)] = &[
    // Not TOML at all.
    (
        "[pop3]\nlisten = \n",
        "r.toml:2:10: error: not TOML: string values must be quoted, expected literal string",
    ),
    (
        "data = \"/a\"\ndata = \"/b\"\n",
        "r.toml:2:1: error: not TOML: duplicate key",
    ),
    // Unknown keys.
    (
        "[pop3]\nidle_timout = \"10m\"\n",
        "r.toml:2:1: error: unknown key `pop3.idle_timout`\n  hint: did you mean `pop3.idle_timeout`?",
    ),
    (
        "listen = []\n",
        "r.toml:1:1: error: unknown key `listen`\n  hint: did you mean `pop3.listen`?",
    ),
    (
        "[pop]\nlisten = []\n",
        "r.toml:1:2: error: unknown key `pop`\n  hint: did you mean `pop3`?",
    ),
    (
        "[pop3]\n\n  \"größe\" = 1 # ü\n",
        "r.toml:3:3: error: unknown key `pop3.größe`\n  hint: all keys are in docs/configuration.md",
    ),
    (
        "pop3 = 110\n",
        "r.toml:1:1: error: `pop3` is a table, not an integer\n  hint: write `[pop3]` and its keys below",
    ),
    // Wrong types.
    (
        "[pop3]\nidle_timeout = 600\n",
        "r.toml:2:16: error: `pop3.idle_timeout` must be a duration, not an integer\n  hint: write it like this: `\"10m\"`",
    ),
    (
        "[pop3]\nlisten = \"127.0.0.1:110\"\n",
        "r.toml:2:10: error: `pop3.listen` must be a list of addresses, not a string\n  hint: write it like this: `[\"127.0.0.1:1110\"]`",
    ),
    (
        "[pop3]\napop = \"no\"\n",
        "r.toml:2:8: error: `pop3.apop` must be `true` or `false`, not a string\n  hint: write it like this: `true`",
    ),
    (
        "[limits]\nconnections = \"many\"\n",
        "r.toml:2:15: error: `limits.connections` must be a whole number, not a string\n  hint: write it like this: `100`",
    ),
    (
        "data = true\n",
        "r.toml:1:8: error: `data` must be text, not a boolean\n  hint: write it like this: `\"…\"`",
    ),
    // Wrong values.
    (
        "[pop3]\nidle_timeout = \"10 minutes\"\n",
        "r.toml:2:16: error: `pop3.idle_timeout` is `10 minutes`, which is not a duration\n  hint: write a whole number and one of `ms`, `s`, `m`, `h`, `d`, `w`: `\"10m\"`",
    ),
    (
        "[pop3]\nlisten = [\"0.0.0.0:110\", \"localhost:110\"]\n",
        "r.toml:2:26: error: `pop3.listen` has `localhost:110`, which is not an address with a port\n  hint: write `\"127.0.0.1:110\"` or `\"[::1]:110\"`",
    ),
    (
        "[pop3]\nlisten = [\":110\"]\n",
        "r.toml:2:11: error: `pop3.listen` has `:110`, which is not an address with a port\n  hint: for all addresses of this machine write `\"0.0.0.0:110\", \"[::]:110\"`",
    ),
    (
        "[pop3]\nlisten = [\"::1\"]\n",
        "r.toml:2:11: error: `pop3.listen` has `::1`, which is not an address with a port\n  hint: add the port: `\"[::1]:110\"`",
    ),
    (
        "[pop3]\nlisten = [\"127.0.0.1:110\", \"127.0.0.1:110\"]\n",
        "r.toml:2:28: error: `pop3.listen` has `127.0.0.1:110` twice\n  hint: remove one of them",
    ),
    (
        "[pop3]\nproxy_protocol = \"10.0.0.0/8\"\n",
        "r.toml:2:18: error: `pop3.proxy_protocol` must be a list of networks, not a string\n  hint: write it like this: `[\"10.0.0.0/8\"]`",
    ),
    (
        "[pop3]\nproxy_protocol = [\"::1\", \"10.1.2.3/8\"]\n",
        "r.toml:2:26: error: `pop3.proxy_protocol` has `10.1.2.3/8`, an address in a network\n  hint: write the network `\"10.0.0.0/8\"`, or the address alone",
    ),
    (
        "[pop3]\nproxy_protocol = [\"balancer.example.org\"]\n",
        "r.toml:2:19: error: `pop3.proxy_protocol` has `balancer.example.org`, which is not a network\n  hint: write an IP address, or a network: `\"10.0.0.0/8\"`, `\"2001:db8::/32\"`",
    ),
    (
        "[pop3]\nproxy_protocol = [\"::ffff:10.0.0.0/104\"]\n",
        "r.toml:2:19: error: `pop3.proxy_protocol` has `::ffff:10.0.0.0/104`, which is not a network\n  hint: write an IP address, or a network: `\"10.0.0.0/8\"`, `\"2001:db8::/32\"`",
    ),
    (
        "[pop3]\ncleartext_login = \"local\"\n",
        "r.toml:2:19: error: `pop3.cleartext_login` is `\"local\"`\n  hint: write `false`, `\"loopback\"` or `true`",
    ),
    (
        "[pop3]\nmechanisms = [\"PLAN\"]\n",
        "r.toml:2:15: error: `pop3.mechanisms` is `\"PLAN\"`\n  hint: did you mean `\"PLAIN\"`?",
    ),
    (
        "[limits]\nconnections = 0\n",
        "r.toml:2:15: error: `limits.connections` is 0\n  hint: write a whole number from 1 to 4294967295",
    ),
    (
        "[log]\nlevel = \"loud\"\n",
        "r.toml:2:9: error: `log.level` is `\"loud\"`\n  hint: write `\"error\"`, `\"warn\"`, `\"info\"`, `\"debug\"` or `\"trace\"`",
    ),
    (
        "data = \"\"\n",
        "r.toml:1:8: error: `data` is empty\n  hint: write a value or remove the line",
    ),
    (
        "data = \"~root/x\"\n",
        "r.toml:1:8: error: `~root/x`: only `~/` is understood\n  hint: write the whole path, or `./~…` for a name that begins so",
    ),
    (
        "[accounts]\ndefault_domain = \"me@example.com\"\n",
        "r.toml:2:18: error: `accounts.default_domain` is `me@example.com`, not a domain\n  hint: write it as it stands after the @: `\"example.com\"`",
    ),
    (
        "[mail]\nmaildir = \"/var/mail\"\n",
        "r.toml:2:11: error: `mail.maildir` is the same for all accounts\n  hint: everybody would read everybody's mail: use `{address}`",
    ),
    (
        "[mail]\nmaildir = \"/var/mail/{name}\"\n",
        "r.toml:2:11: error: `mail.maildir` has `{name}`\n  hint: `{address}`, `{user}`, `{domain}` and `{home}` can be used",
    ),
    (
        "[mail]\nmaildir = \"/var/mail/{user\"\n",
        "r.toml:2:11: error: `mail.maildir` has a brace without its partner\n  hint: `{address}`, `{user}`, `{domain}` and `{home}` can be used",
    ),
    (
        "[mail]\nmaildir = \"{home}/Maildir\"\n",
        "r.toml:2:11: error: `mail.maildir` has `{home}`, which built-in accounts do not have\n  hint: use `{address}`",
    ),
    (
        "[mail]\nmaildir = \"../{user}\"\n",
        "r.toml:2:11: error: `mail.maildir`: mailbox location `/etc/restante/../{user}` has an empty, `.` or `..` component\n  hint: write it like this: `\"/var/mail/{domain}/{user}\"`",
    ),
    // Combinations that cannot work.
    // R1939-TIMER-1
    (
        "[pop3]\nidle_timeout = \"5m\"\n",
        "r.toml:2:16: error: `pop3.idle_timeout` is below 10 minutes\n  hint: RFC 1939 promises every program ten minutes: write `\"10m\"` or more",
    ),
    (
        "[pop3]\ndrain_timeout = \"0s\"\n",
        "r.toml:2:17: error: `pop3.drain_timeout` is not between 1 second and 1 hour\n  hint: `\"30s\"` suits most; systemd kills what takes longer than `TimeoutStopSec=`",
    ),
    (
        "[pop3]\nlisten = []\nlisten_tls = []\n",
        "r.toml:3:14: error: `pop3.listen` and `pop3.listen_tls` are both empty\n  hint: a server needs an address: `listen_tls = [\"127.0.0.1:1995\"]`",
    ),
    (
        "[pop3]\nlisten = [\"[::]:995\"]\nlisten_tls = [\"[::]:995\"]\n",
        "r.toml:3:14: error: `pop3.listen` and `pop3.listen_tls` both have `[::]:995`\n  hint: POP3 over TLS needs a port of its own: 995, beside 110",
    ),
    (
        "[pop3]\napop = true\n",
        "r.toml:2:8: error: `pop3.apop` cannot work with the built-in accounts\n  hint: APOP needs readable passwords, which the built-in accounts do not keep: remove it",
    ),
    (
        "[tls]\ncertificate = \"/a.pem\"\n",
        "r.toml:2:15: error: `tls.certificate` stands without `tls.key`\n  hint: add `key = \"…/privkey.pem\"`",
    ),
    (
        "[tls]\nkey = \"/a.pem\"\n",
        "r.toml:2:7: error: `tls.key` stands without `tls.certificate`\n  hint: add `certificate = \"…/fullchain.pem\"`",
    ),
    (
        "[accounts]\nsource = \"passwd-file\"\n",
        "r.toml:2:10: error: `accounts.source` = \"passwd-file\" needs a file\n  hint: add `passwd_file = \"/etc/restante/users\"` below it",
    ),
    (
        "[accounts]\npasswd_file = \"users\"\n",
        "r.toml:2:15: error: `accounts.passwd_file` would not be used\n  hint: add `source = \"passwd-file\"` beside it, or remove it",
    ),
    (
        "[[tls.name]]\ncertificate = \"a\"\n",
        "r.toml:1:1: error: `tls.name` lacks `certificate` or `key`\n  hint: write `[[tls.name]]` with `certificate` and `key` below it",
    ),
    (
        "[[tls.name]]\ncertificate = \"a\"\nkei = \"b\"\n",
        "r.toml:3:1: error: `tls.name` has an unknown key `kei`\n  hint: write `[[tls.name]]` with `certificate` and `key` below it",
    ),
    (
        "[tls]\nname = \"a\"\n",
        "r.toml:2:8: error: `tls.name` must be a list of tables\n  hint: write `[[tls.name]]` with `certificate` and `key` below it",
    ),
    (
        "[[mail.view]]\nfolder = \"../x\"\n",
        "r.toml:2:10: error: `mail.view` is wrong: `../x` cannot be a folder's name\n  hint: write `[[mail.view]]` with `folder = \"Junk\"` below it, and `tag = \"[junk] \"` if you like",
    ),
    (
        "[[mail.view]]\ntag = \"[junk]\"\n",
        "r.toml:1:1: error: `mail.view` lacks `folder`\n  hint: write `[[mail.view]]` with `folder = \"Junk\"` below it, and `tag = \"[junk] \"` if you like",
    ),
    (
        "[[mail.view]]\nfolder = \"Junk\"\ntag = \"ä\"\n",
        "r.toml:3:7: error: `mail.view` is wrong: a tag is 1 to 64 printable ASCII characters without a comma, not first a space\n  hint: write `[[mail.view]]` with `folder = \"Junk\"` below it, and `tag = \"[junk] \"` if you like",
    ),
    (
        "[[mail.view]]\nfolder = \"INBOX\"\n",
        "r.toml:1:1: error: `mail.view`: INBOX is always shown, as it is\n  hint: write `[[mail.view]]` with `folder = \"Junk\"` below it, and `tag = \"[junk] \"` if you like",
    ),
    (
        "group = \"mail\"\n",
        "r.toml:1:9: error: `group` stands without `user`\n  hint: add `user = \"vmail\"`: it may be the group of the same name",
    ),
    (
        "[pop3]\nlogin_delay = \"1500ms\"\n",
        "r.toml:2:15: error: `pop3.login_delay` is not whole seconds up to 1 hour\n  hint: who comes too soon gets no mail: `\"1m\"` is much already",
    ),
    (
        "[bans]\ntime = \"2d\"\n",
        "r.toml:2:8: error: `bans.time` is above 1 day\n  hint: addresses change hands, and a name's owner is locked out too: `\"10m\"` suits most",
    ),
    (
        "[sandbox]\npaths = \"/srv\"\n",
        "r.toml:2:9: error: `sandbox.paths` must be a list, not a string\n  hint: write it like this: `[\"…\"]`",
    ),
    (
        "[sandbox]\npaths = [\"~me\"]\n",
        "r.toml:2:9: error: `~me`: only `~/` is understood\n  hint: write the whole path, or `./~…` for a name that begins so",
    ),
    // Several at once, in the order of the file.
    (
        "x = 1\n[pop3]\napop = 1\n",
        "r.toml:1:1: error: unknown key `x`\n  hint: all keys are in docs/configuration.md\n\
         r.toml:3:8: error: `pop3.apop` must be `true` or `false`, not an integer\n  hint: write it like this: `true`",
    ),
];

#[test]
fn bad_files_are_refused_with_line_key_and_remedy() {
    for (text, expected) in BAD {
        assert_eq!(&complaint(text), expected, "for the file:\n{text}");
    }
}

/// Keys and values of the documented interface that a later version will act upon.
const LATER: &[(&str, &str)] = &[
    (
        "[accounts]\nsource = \"postgres\"",
        "2:10: error: `accounts.source` = \"postgres\"",
    ),
    (
        "[accounts]\nsource = \"ldap\"",
        "2:10: error: `accounts.source` = \"ldap\"",
    ),
    (
        "[mail]\nstore = \"mbox\"",
        "2:9: error: `mail.store` = \"mbox\"",
    ),
    (
        "[mail]\nquota = { bytes = \"10GiB\" }",
        "2:1: error: `mail.quota`",
    ),
    ("[lmtp]\nlisten = []", "1:2: error: `lmtp`"),
    ("[smtp]\nlisten = []", "1:2: error: `smtp`"),
    ("[submission]\nlisten = []", "1:2: error: `submission`"),
    ("[cluster]\ndatabase = \"a\"", "1:2: error: `cluster`"),
    ("[fetch]\nstate = \"a\"", "1:2: error: `fetch`"),
    ("[[account]]\nname = \"work\"", "1:3: error: `account`"),
];

#[test]
fn what_a_later_version_acts_upon_is_refused_and_never_ignored() {
    for (text, what) in LATER {
        let complaint = complaint(text);
        let expected = format!("r.toml:{what} is not supported by this version\n  hint: ");
        assert!(complaint.starts_with(&expected), "{complaint}\n{expected}");
        assert_eq!(complaint.lines().count(), 2, "{complaint}");
    }
}

#[test]
fn no_file_means_the_documented_defaults() {
    let configuration = read("").unwrap();
    assert_eq!(
        configuration.data,
        Path::new("/home/me/.local/share/restante")
    );
    assert_eq!(
        configuration.pop3.listen,
        ["127.0.0.1:1110".parse().unwrap()]
    );
    assert_eq!(
        configuration.pop3.listen_tls,
        ["127.0.0.1:1995".parse().unwrap()]
    );
    assert_eq!(configuration.pop3.cleartext_login, CleartextLogin::Loopback);
    assert_eq!(configuration.pop3.idle_timeout, Duration::from_secs(600));
    assert_eq!(configuration.tls.certificate, None);
    assert_eq!(configuration.accounts.source, AccountSource::Builtin);
    assert_eq!(
        configuration.mail.maildir,
        "/home/me/.local/share/restante/mail/{address}"
    );
    assert_eq!(configuration.limits.connections, 10_000);
    assert!(!configuration.sets("pop3.listen"));
}

#[test]
fn proxies_are_networks_or_addresses() {
    let text = "[pop3]\nproxy_protocol = [\"10.0.0.0/8\", \"192.0.2.7\", \"2001:db8::/32\"]";
    let proxies = read(text).unwrap().pop3.proxies;
    let shown: Vec<String> = proxies.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
    assert_eq!(read("").unwrap().pop3.proxies, []);
}

#[test]
fn defaults_may_be_written_out() {
    let text = r#"
        [pop3]
        listen = ["127.0.0.1:1110"]
        utf8_headers = "raw"
        login_delay = "0s"
        cleartext_login = "loopback"
        [tls]
        strict_sni = false
        [accounts]
        source = "builtin"
        [sandbox]
        enabled = true
        paths = []
        [mail]
        store = "maildir"
        delete = "shared"
        keep = "until-deleted"
        expire_unfetched = "never"
    "#;
    read(text).unwrap();
}

#[test]
fn accounts_in_a_database_are_read_with_their_queries() {
    let text = r#"
        [accounts]
        source = "sql"
        [accounts.sql]
        database = "postgres://restante:secret@db.example/mail"
        ca_file = "ca.pem"
        password_query = '''
            SELECT password FROM users
            WHERE address = :address
        '''
        timeout = "2s"
    "#;
    let configuration = read(text).unwrap();
    let AccountSource::Sql(sql) = &configuration.accounts.source else {
        panic!("{:?}", configuration.accounts.source);
    };
    assert!(sql.password_query.contains("\n"), "{}", sql.password_query);
    assert_eq!(sql.ca_file, Some(PathBuf::from("/etc/restante/ca.pem")));
    assert_eq!((sql.timeout, sql.connections), (Duration::from_secs(2), 8));
    assert_eq!((&sql.user_query, &sql.list_query), (&None, &None));
    // PRJ-SEC-2: the password of the database is nobody's to see.
    assert!(!format!("{configuration:?}").contains("secret"));
}

#[test]
fn half_a_database_of_accounts_is_refused() {
    const SQL: &str = "[accounts]\nsource = \"sql\"\n[accounts.sql]\n";
    for (text, what) in [
        (
            SQL,
            "2:10: error: `accounts.source` = \"sql\" needs a database",
        ),
        (
            "[accounts.sql]\ndatabase = \"sqlite:///a\"",
            "2:12: error: `accounts.sql.database` would not be used",
        ),
        (
            &format!("{SQL}database = \"sqlite:///a\"\npassword_query = \"x\"\ntimeout = \"1m\""),
            "6:11: error: `accounts.sql.timeout` is not between",
        ),
        (
            &format!("{SQL}database = \"sqlite:///a\"\npassword_query = \"x\"\nconnections = 1001"),
            "6:15: error: `accounts.sql.connections` is above",
        ),
        (
            &format!("{SQL}database = \"sqlite:///a\"\npassword_query = \"\""),
            "5:18: error: `accounts.sql.password_query` is empty",
        ),
    ] {
        let complaint = complaint(text);
        assert!(
            complaint.starts_with(&format!("r.toml:{what}")),
            "{complaint}\n{what}"
        );
    }
}

#[test]
fn paths_are_relative_to_the_file_and_know_the_home_directory() {
    let text = r#"
        data = "state"
        [tls]
        certificate = "~/a.pem"
        key = "/b.pem"
        [accounts]
        source = "passwd-file"
        passwd_file = "users"
        [mail]
        maildir = "{home}/Maildir"
    "#;
    let configuration = read(text).unwrap();
    assert_eq!(configuration.data, Path::new("/etc/restante/state"));
    let files = configuration.tls.certificate.clone().unwrap();
    assert_eq!(files.certificate, Path::new("/home/me/a.pem"));
    assert_eq!(files.key, Path::new("/b.pem"));
    assert_eq!(
        configuration.accounts.source,
        AccountSource::PasswdFile(PathBuf::from("/etc/restante/users"))
    );
    assert_eq!(configuration.mail.maildir, "{home}/Maildir");
    let problem = configuration.problem("tls.key", "does not fit");
    assert_eq!(
        problem.place,
        Some(Place {
            line: 5,
            column: 15
        })
    );
}

#[test]
fn the_data_directory_follows_the_xdg_specification() {
    let mut surroundings = surroundings();
    surroundings.data_home = Some(PathBuf::from("/data"));
    let configuration = Configuration::from_text("", None, &surroundings).unwrap();
    assert_eq!(configuration.data, Path::new("/data/restante"));
    surroundings.data_home = None;
    surroundings.home = None;
    let problems = Configuration::from_text("", None, &surroundings).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "built-in configuration: error: `data` has no default here: the user has no home directory\n  \
         hint: write `data = \"/var/lib/restante\"`"
    );
}

#[test]
fn durations_are_written_as_they_are_read() {
    for text in ["1ms", "999ms", "1s", "90s", "10m", "36h", "7d", "60d", "0s"] {
        let duration = value::parse_duration(text).unwrap();
        assert_eq!(format_duration(duration), text);
    }
    for text in [
        "",
        "m",
        "10",
        "-1s",
        "1.5h",
        "10 m",
        "10min",
        "99999999999999999999s",
        "99999w",
    ] {
        assert_eq!(value::parse_duration(text), None, "{text}");
    }
    assert_eq!(value::parse_duration("1w"), value::parse_duration("7d"));
}

#[test]
fn a_place_counts_characters_from_one() {
    let text = "a\n\u{fc}\u{fc}b\n";
    assert_eq!(Place::of(text, 0), Place { line: 1, column: 1 });
    assert_eq!(Place::of(text, 6), Place { line: 2, column: 3 });
    assert_eq!(Place::of(text, 999), Place { line: 3, column: 1 });
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name)
}

#[test]
fn the_page_of_keys_is_the_programs_table() {
    let path = docs("configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, key::page()).unwrap();
    }
    let page = fs::read_to_string(path).unwrap();
    assert!(
        page == key::page(),
        "docs/configuration.md is out of date: UPDATE_DOCS=1 cargo test -p restante page_of_keys"
    );
}

#[test]
fn the_example_is_accepted_as_it_is_and_with_every_default_written_out() {
    let example = fs::read_to_string(docs("restante.example.toml")).unwrap();
    let configuration = read(&example).unwrap();
    assert_eq!(configuration.data, Path::new("/var/lib/restante"));
    // A line `# key = value` is a default, one with `#-` stands for another; the rest is prose.
    let is_default = |line: &str| {
        let word = line.split(' ').next().unwrap_or_default();
        let name = word
            .bytes()
            .all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        name && line.contains(" = ") || line.starts_with('[')
    };
    let written_out: Vec<&str> = example
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| is_default(rest))
                .unwrap_or(line)
        })
        .collect();
    let configuration = read(&written_out.join("\n")).unwrap();
    for key in key::KEYS {
        // A file has accounts from one source only.
        let is_elsewhere = key.path.starts_with("accounts.sql.");
        if matches!(key.acts, key::Acts::Now(_)) && !is_elsewhere {
            let name = key.path.rsplit('.').next().unwrap_or_default();
            let instead = format!("\n#- {name} = ");
            assert!(
                configuration.sets(key.path) || example.contains(&instead),
                "the example lacks `{}`",
                key.path
            );
        }
    }
}

#[test]
fn the_defaults_in_the_table_are_the_ones_in_force() {
    // Every default that is a value is written out, and the whole means what an empty file means.
    let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for key in key::KEYS {
        if let key::Acts::Now(default) = key.acts
            && let Some(value) = default
                .strip_prefix('`')
                .and_then(|rest| rest.strip_suffix('`'))
            && !value.contains('`')
            // Without names there is nothing to obtain.
            && !key.path.starts_with("tls.acme.")
        {
            let (table, name) = key.path.split_once('.').unwrap_or(("", key.path));
            tables
                .entry(table)
                .or_default()
                .push(format!("{name} = {value}"));
        }
    }
    let text: Vec<String> = tables
        .iter()
        .map(|(table, lines)| format!("[{table}]\n{}", lines.join("\n")))
        .collect();
    let forget_places = |mut configuration: Configuration| {
        configuration.places.clear();
        format!("{configuration:?}")
    };
    let written_out = read(&text.join("\n")).unwrap();
    assert!(written_out.places.len() > 15);
    assert_eq!(forget_places(written_out), forget_places(read("").unwrap()));
}
