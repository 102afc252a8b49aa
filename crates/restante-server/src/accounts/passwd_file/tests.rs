//! Lines, restrictions, and a file that changes under us.

use std::{fs, net::IpAddr};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const KEY: [u8; 32] = [7; 32];

fn settings() -> PasswdFileSettings {
    PasswdFileSettings {
        path: "/etc/users".into(),
        uid: Some(5000),
    }
}

fn parse(text: impl AsRef<[u8]>) -> PasswdEntries {
    PasswdEntries::parse(text.as_ref(), &settings(), &KEY)
}

/// The single account of a file of one line.
fn account(line: &str) -> Account {
    let name = line.split(':').next().unwrap();
    parse(line).account(name).unwrap()
}

fn opens(account: &Account, password: &str) -> bool {
    let credentials = account.credentials.as_ref().unwrap();
    let password = password.as_bytes().to_vec().into();
    let presented = crate::accounts::Presented::new(&password);
    credentials
        .iter()
        .any(|credential| credential.verify(&presented).unwrap())
}

/// What the problems of a file are, as `line account what`.
fn problems(text: impl AsRef<[u8]>) -> Vec<String> {
    let shown = |problem: &Problem| {
        assert!(!problem.remedy.is_empty());
        let account = problem.account.as_deref().unwrap_or("-");
        format!("{} {account} {}", problem.line, problem.what)
    };
    parse(text).problems().iter().map(shown).collect()
}

#[test]
fn lines_have_up_to_eight_fields() {
    for line in [
        "tim:{PLAIN}x",
        "tim:{PLAIN}x:",
        "tim:{PLAIN}x:5000:5000:Tim, the first:/home/tim:/bin/sh",
        "tim:{PLAIN}x::::::",
        "tim:{PLAIN}x\r",
    ] {
        let account = account(line);
        assert!(opens(&account, "x") && !opens(&account, "y"), "{line}");
        assert_eq!(account.access, crate::accounts::Access::default(), "{line}");
    }
    let account = account("tim:{PLAIN}x:5000:5000:Tim:/home/tim:/bin/sh:");
    let mailbox = account.mailbox.unwrap();
    assert_eq!((mailbox.account.as_str(), mailbox.location), ("tim", None));
    assert_eq!(mailbox.home.as_deref(), Some(Path::new("/home/tim")));
}

#[test]
fn comments_and_empty_lines_are_no_accounts() {
    let entries = parse("\n# tim:{PLAIN}x\n:{PLAIN}x\n\r\ntom:{PLAIN}y\n#\n");
    assert_eq!((entries.entries.len(), entries.problems().len()), (1, 0));
    assert!(opens(&entries.account("tom").unwrap(), "y"));
    assert!(entries.account("").is_none());
}

#[test]
fn an_empty_password_field_opens_nothing() {
    for line in ["tim", "tim:", "tim::5000:5000"] {
        let account = account(line);
        assert!(account.credentials.unwrap().is_empty(), "{line}");
    }
}

#[test]
fn names_compare_octet_by_octet_and_the_first_line_counts() {
    let text = "tim:{PLAIN}first\nTim:{PLAIN}other\ntim:{PLAIN}second\n";
    assert!(opens(&parse(text).account("tim").unwrap(), "first"));
    assert!(!opens(&parse(text).account("tim").unwrap(), "second"));
    assert!(opens(&parse(text).account("Tim").unwrap(), "other"));
    let expected = "3 tim account has a line already, which counts; this one is skipped";
    assert_eq!(problems(text), [expected]);
}

/// One bad line costs one account; its problem names the line and tells no secret.
#[test]
fn bad_lines_are_skipped_and_the_others_are_served() {
    let mut text = b"a/b:{PLAIN}hunter2\n\xFFx:{PLAIN}hunter2\n..:x\n".to_vec();
    text.extend_from_slice(b"tam:{HUNTER2 and more}hunter2\n");
    text.extend_from_slice(&vec![b'x'; LINE_OCTETS_MAX + 1]);
    text.extend_from_slice(b"\nt\0m:{PLAIN}hunter2\ntim:{PLAIN}x");
    assert!(opens(&parse(&text).account("tim").unwrap(), "x"));
    let name = "- name that no account can have; the line is skipped";
    assert_eq!(
        problems(&text),
        [
            format!("1 {name}"),
            format!("2 {name}"),
            format!("3 {name}"),
            "4 tam unknown password scheme ".to_owned(),
            "5 - line of 65537 octets is skipped".to_owned(),
            format!("6 {name}"),
        ]
    );
    let shown = format!("{:?}", parse(&text));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn lines_are_bounded() {
    for (octets, fits) in [
        (LINE_OCTETS_MAX - 1, true),
        (LINE_OCTETS_MAX, true),
        (LINE_OCTETS_MAX + 1, false),
    ] {
        let mut line = "tim:{PLAIN}x:::".to_owned();
        line.extend(std::iter::repeat_n('g', octets - line.len()));
        assert_eq!(parse(&line).account("tim").is_some(), fits, "{octets}");
    }
}

#[test]
fn a_scheme_that_cannot_be_verified_is_an_obstacle_not_a_wrong_password() {
    let account = account("tim:{MD5-CRYPT}$1$CbCyKbPG$K5WRyUAMsOn7jw6F.tyBA1");
    let obstacle = account.credentials.unwrap_err().to_string();
    assert_eq!(obstacle, "password scheme MD5-CRYPT is too weak to be used");
    // Its mail is still delivered.
    assert!(account.mailbox.is_ok());
}

#[test]
fn restrictions_that_are_understood_are_obeyed() {
    let line = "tim:{PLAIN}x::::::userdb_quota_rule=*:storage=1G allow_nets=10.0.0.0/8,::1 nodelay";
    let access = account(line).access;
    assert!(access.obstacle.is_none() && !access.nologin);
    assert!(access.permits(IpAddr::from([10, 1, 2, 3])));
    assert!(!access.permits(IpAddr::from([192, 0, 2, 1])));
    assert!(problems(line).is_empty());
    for nologin in [
        "nologin",
        "nologin=",
        "nologin=y",
        "nologin=no",
        "reason=moved nologin",
    ] {
        let access = account(&format!("tim:{{PLAIN}}x::::::{nologin}")).access;
        assert!(access.nologin && access.obstacle.is_none(), "{nologin}");
    }
}

#[test]
fn fields_that_may_restrict_and_are_not_understood_refuse_the_login() {
    for (field, what) in [
        (
            "proxy",
            "extra field `proxy` is not understood and may restrict",
        ),
        (
            "host=10.0.0.1",
            "extra field `host` is not understood and may restrict",
        ),
        (
            "nopassword",
            "extra field `nopassword` is not understood and may restrict",
        ),
        (
            "user=tom",
            "extra field `user` is not understood and may restrict",
        ),
        (
            "userdb_nologin",
            "extra field `userdb_nologin` is not understood and may restrict",
        ),
        ("quota_rule", ""),
        (
            "userdb_mail_driver=mbox",
            "extra field `userdb_mail_driver` is not understood and may restrict",
        ),
        (
            "allow_nets",
            "extra field `allow_nets` is not understood and may restrict",
        ),
        ("allow_nets=10/8", "`allow_nets` is not understood"),
        (
            "allow_nets=::1 allow_nets=::2",
            "extra field `allow_nets` is not understood and may restrict",
        ),
        (
            "hunter2\u{7f}=x",
            "an extra field is not understood and may restrict",
        ),
        ("=x", "extra field `` is not understood and may restrict"),
    ] {
        let line = format!("tim:{{PLAIN}}x::::::{field}");
        let obstacle = account(&line)
            .access
            .obstacle
            .map(|obstacle| obstacle.to_string());
        assert_eq!(obstacle.unwrap_or_default(), what, "{field}");
        let expected: Vec<_> = (!what.is_empty())
            .then(|| format!("1 tim {what}"))
            .into_iter()
            .collect();
        assert_eq!(problems(&line), expected);
    }
    let not_text = parse(b"tim:{PLAIN}x::::::\xFF").account("tim").unwrap();
    assert!(not_text.access.obstacle.is_some());
}

#[test]
fn the_mailbox_is_where_the_line_says() {
    let location = |extra: &str| {
        let account = account(&format!(
            "tim@a.example:{{PLAIN}}x:5000:5000::/home/tim::{extra}"
        ));
        account
            .mailbox
            .map(|mailbox| mailbox.location)
            .map_err(|obstacle| obstacle.to_string())
    };
    let place = |path: &str| Ok(Some(PathBuf::from(path)));
    assert_eq!(location(""), Ok(None));
    assert_eq!(
        location("userdb_mail=maildir:~/Maildir"),
        place("/home/tim/Maildir")
    );
    assert_eq!(
        location("mail=maildir:/v/%d/%n:INDEX=/i"),
        place("/v/a.example/tim")
    );
    assert_eq!(
        location("userdb_mail_driver=maildir userdb_mail_path=~/M"),
        place("/home/tim/M")
    );
    assert_eq!(
        location("userdb_home=/other mail=maildir:~/M"),
        place("/other/M")
    );
    assert!(location("userdb_mail=mbox:~/mail").is_err());
    assert!(location("userdb_mail=maildir:~/../../etc").is_err());
    assert!(location("userdb_home=relative").is_err());
    // Nobody logs in to a mailbox that cannot be found, but the password could be verified.
    let account = account("tim:{PLAIN}x::::::mail=mbox:~/mail");
    assert!(opens(&account, "x") && account.mailbox.is_err());
}

#[test]
fn entries_of_another_user_have_no_mailbox() {
    for (ids, served) in [
        ("5000:5000", true),
        (":", true),
        ("6000:", false),
        ("0:0", false),
        ("5000:0", false),
    ] {
        let line = format!("tim:{{PLAIN}}x:{ids}::/home/tim");
        assert_eq!(account(&line).mailbox.is_ok(), served, "{ids}");
        assert_eq!(problems(&line).is_empty(), served, "{ids}");
    }
}

#[test]
fn a_revision_changes_with_the_stored_field() {
    let revision = |line: &str| account(line).credentials.unwrap()[0].revision();
    assert_eq!(
        revision("tim:{PLAIN}x"),
        revision("tim:{PLAIN}x:1:1:other fields")
    );
    assert_ne!(revision("tim:{PLAIN}x"), revision("tim:{PLAIN}y"));
    assert_ne!(revision("tim:{PLAIN}x"), revision("tim:{plain}x"));
    let other_key = PasswdEntries::parse(b"tim:{PLAIN}x", &settings(), &[8; 32]);
    let other = other_key.account("tim").unwrap().credentials.unwrap()[0].revision();
    assert_ne!(revision("tim:{PLAIN}x"), other);
}

#[test]
fn scram_is_for_files_where_everybody_can_use_it() {
    let sha256 = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let sha1 = "{SCRAM-SHA-1}4096,umkip+cPpkQb08BeqOT24g==,l7xP+pRspvhse8emlc5ZNbpwi6w=,nrXC8iEwxKZangs/feiGZ63oGPQ=";
    let hashed = "{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=";
    let can = |fields: &[&str]| {
        let lines = fields
            .iter()
            .enumerate()
            .map(|(index, field)| format!("u{index}:{field}\n"));
        let entries = parse(lines.collect::<String>());
        [ScramHash::Sha256, ScramHash::Sha1].map(|hash| entries.can_verify_scram(hash))
    };
    assert_eq!(can(&[]), [false, false]);
    assert_eq!(can(&[sha256]), [true, false]);
    assert_eq!(can(&[sha1]), [false, true]);
    assert_eq!(can(&[sha256, "{PLAIN}x", ""]), [true, false]);
    assert_eq!(can(&[sha256, hashed]), [false, false]);
    assert_eq!(can(&[sha256, sha1]), [false, false]);
    // Who cannot log in at all has no say.
    assert_eq!(can(&[sha256, "x::::::nologin", "{MD5}x"]), [true, false]);
}

/// A file in a directory of its own, last changed long ago.
struct OnDisk {
    directory: TempDir,
    file: Arc<PasswdFile>,
}

impl OnDisk {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, text).unwrap();
        let file = PasswdFile::new(PasswdFileSettings { path, uid: None }).unwrap();
        let on_disk = Self {
            directory,
            file: Arc::new(file),
        };
        on_disk.date(100);
        on_disk
    }

    fn write(&self, text: &str, seconds_ago: u64) {
        fs::write(self.file.path(), text).unwrap();
        self.date(seconds_ago);
    }

    fn date(&self, seconds_ago: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds_ago);
        let file = fs::OpenOptions::new()
            .append(true)
            .open(self.file.path())
            .unwrap();
        file.set_modified(time).unwrap();
    }

    async fn opens(&self, password: &str) -> bool {
        let found = self.file.first_of(&["tim".to_owned()]).await.unwrap();
        found.is_some_and(|account| opens(&account, password))
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_read_again_within_a_second() {
    let disk = OnDisk::new("tim:{PLAIN}one\n");
    assert!(disk.opens("one").await);
    disk.write("tim:{PLAIN}three\n", 50);
    // Looked at a moment ago.
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(disk.opens("one").await);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(disk.opens("three").await && !disk.opens("one").await);
    // The same size, another time.
    disk.write("tim:{PLAIN}seven\n", 40);
    tokio::time::advance(CHECKED_EVERY).await;
    assert!(disk.opens("seven").await);
    // The same size and time, another file put in its place.
    let time = fs::metadata(disk.file.path()).unwrap().modified().unwrap();
    let new = disk.directory.path().join("new");
    fs::write(&new, "tim:{PLAIN}eight\n").unwrap();
    fs::File::options()
        .append(true)
        .open(&new)
        .unwrap()
        .set_modified(time)
        .unwrap();
    fs::rename(&new, disk.file.path()).unwrap();
    tokio::time::advance(CHECKED_EVERY).await;
    assert!(disk.opens("eight").await);
}

/// An editor empties the file and writes it anew: nobody may be unknown meanwhile, or mail
/// programs throw their passwords away.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_being_written_is_not_read_yet() {
    let disk = OnDisk::new("tim:{PLAIN}one\n");
    assert!(disk.opens("one").await);
    disk.write("", 0);
    tokio::time::advance(CHECKED_EVERY).await;
    assert!(disk.opens("one").await);
    disk.write("tim:{PLAIN}two\n", 2);
    tokio::time::advance(CHECKED_EVERY).await;
    assert!(disk.opens("two").await);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_written_to_without_a_pause_is_read_in_the_end() {
    let disk = OnDisk::new("tim:{PLAIN}one\n");
    assert!(disk.opens("one").await);
    for second in 0..=5 {
        disk.write(&format!("tim:{{PLAIN}}two\n#{second}"), 0);
        tokio::time::advance(CHECKED_EVERY).await;
        assert_eq!(disk.opens("two").await, second == 5, "{second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_in_the_past_does_not_keep_changes_out() {
    let disk = OnDisk::new("tim:{PLAIN}one\n");
    assert!(disk.opens("one").await);
    fs::write(disk.file.path(), "tim:{PLAIN}three\n").unwrap();
    let file = fs::File::options()
        .append(true)
        .open(disk.file.path())
        .unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3600))
        .unwrap();
    tokio::time::advance(CHECKED_EVERY).await;
    assert!(disk.opens("three").await);
}

// R3206-AUTH-2
#[tokio::test(start_paused = true)]
async fn r3206_auth_2_a_missing_file_is_an_outage_until_it_is_back() {
    let disk = OnDisk::new("tim:{PLAIN}one\n");
    assert!(disk.opens("one").await);
    fs::remove_file(disk.file.path()).unwrap();
    tokio::time::advance(CHECKED_EVERY).await;
    for _ in 0..2 {
        let found = disk.file.first_of(&["tim".to_owned()]).await;
        assert!(
            matches!(found, Err(DirectoryError::Temporary(_))),
            "{found:?}"
        );
    }
    // Back, and young: there is nothing older to serve.
    disk.write("tim:{PLAIN}two\n", 0);
    assert!(disk.opens("two").await);
}

#[tokio::test]
async fn what_is_no_file_is_an_outage() {
    let directory = tempfile::tempdir().unwrap();
    for path in [
        directory.path().to_owned(),
        "/dev/zero".into(),
        "/nowhere/users".into(),
    ] {
        let settings = PasswdFileSettings {
            path: path.clone(),
            uid: None,
        };
        let file = Arc::new(PasswdFile::new(settings).unwrap());
        let found = file.first_of(&["tim".to_owned()]).await;
        assert!(
            matches!(found, Err(DirectoryError::Temporary(_))),
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_file_that_everybody_can_read_is_a_problem() {
    use std::os::unix::fs::PermissionsExt as _;
    let disk = OnDisk::new("tim:{PLAIN}one\nx/y:\n");
    for (mode, lines) in [(0o640, vec![2]), (0o644, vec![0, 2])] {
        fs::set_permissions(disk.file.path(), fs::Permissions::from_mode(mode)).unwrap();
        let problems = disk.file.problems().unwrap();
        assert_eq!(
            problems
                .iter()
                .map(|problem| problem.line)
                .collect::<Vec<_>>(),
            lines
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // PRJ-SEC-1
    #[test]
    fn prj_sec_1_no_octets_panic_or_hide_a_good_line(
        before in prop::collection::vec(any::<u8>(), 0..120),
        after in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut text = before.clone();
        text.extend_from_slice(b"\nthe.good@one.example:{PLAIN}x\n");
        text.extend_from_slice(&after);
        let entries = parse(&text);
        prop_assert!(opens(&entries.account("the.good@one.example").unwrap(), "x"));
        for problem in entries.problems() {
            prop_assert!(problem.line >= 1 && !problem.what.contains('\n'));
        }
    }

    #[test]
    fn prj_sec_1_no_line_panics_and_none_opens_with_the_wrong_password(
        line in "[a-z]{1,3}:(\\{(PLAIN|SHA|x)(\\.b64)?\\})?[ -~]{0,20}(:[ -~]{0,8}){0,7}",
    ) {
        let entries = parse(&line);
        for name in entries.entries.keys() {
            let account = entries.account(name).unwrap();
            if account.credentials.is_ok() {
                prop_assert!(!opens(&account, "a password that is not in the line at all"));
                prop_assert!(!opens(&account, ""));
            }
        }
    }

    /// Whatever the extra fields are: what is not known by name to be harmless restricts.
    #[test]
    fn unknown_fields_never_leave_an_account_open(key in "[a-z_]{1,12}", value in "[a-z0-9/]{0,6}") {
        let account = account(&format!("tim:{{PLAIN}}x::::::{key}={value}"));
        let access = &account.access;
        let name = key.strip_prefix("userdb_").unwrap_or(&key);
        let known = fields::is_harmless(name)
            || matches!(name, "mail" | "mail_location" | "mail_path" | "home" | "mail_driver");
        prop_assert!(known || access.nologin || access.networks.is_some() || access.obstacle.is_some());
    }
}
