//! Whatever stands in a passwd-file: no panic, a good line is served whatever stands around it, a
//! password that is not there opens nothing, and problems repeat no secret (PRJ-SEC-1, PRJ-SEC-2).
#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_server::accounts::{PasswdEntries, PasswdFileSettings, schemes::Verifier};

/// No input contains it but by chance.
const SECRET: &str = "Zx9-not-in-the-file";

fuzz_target!(|octets: &[u8]| {
    let settings = PasswdFileSettings {
        path: "users".into(),
        uid: Some(5000),
    };
    let mut file = octets.to_vec();
    file.extend_from_slice(format!("\ngood@fuzz.example:{{PLAIN}}{SECRET}").as_bytes());
    let entries = PasswdEntries::parse(&file, &settings, &[7; 32]);

    let before = PasswdEntries::parse(octets, &settings, &[7; 32]);
    if before.account("good@fuzz.example").is_none() {
        let good = entries.account("good@fuzz.example").expect("a good line");
        assert_eq!(good.credentials.expect("a known scheme").len(), 1);
    }
    for problem in entries.problems() {
        assert!(!format!("{problem:?}").contains(SECRET));
        assert!(!problem.what.contains('\n') && !problem.remedy.is_empty());
    }
    for line in octets.split(|&octet| octet == b'\n') {
        let field = line.split(|&octet| octet == b':').nth(1).unwrap_or(line);
        if let Ok(Some(verifier)) = Verifier::parse(field)
            && !verifier.is_slow()
        {
            assert_eq!(verifier.verify(SECRET.as_bytes()), Ok(false));
            assert_eq!(verifier.verify(b""), Ok(false));
        }
    }
});
