//! Whatever a file or a URL holds: errors, never a panic, and never the password.

mod support;

use forebay_control::connection_url::{RunOptions, read};
use proptest::prelude::*;
use support::{Directory, GOOD};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_an_error_or_still_right(
        start in 0..GOOD.len(),
        length in 0..40_usize,
        piece in "[\\[\\]{}=\"',.0-9a-z_\n#\\\\é-]{0,12}",
    ) {
        let mut bytes = GOOD.as_bytes().to_vec();
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, piece.bytes());
        let text = String::from_utf8(bytes).expect("whole characters replace ASCII");
        if let Err(errors) = Directory::new().load(&text) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|line| !line.contains("hunter2")));
        }
    }

    #[test]
    fn any_text_as_a_file_does_not_panic(text in any::<String>()) {
        let _ = Directory::new().load(&text);
    }

    #[test]
    fn any_text_as_a_url_does_not_panic(text in "(postgres(ql)?://)?[ -~é]{0,60}") {
        let _ = read(&text, &RunOptions::default(), 1, &|_| None);
    }

    #[test]
    fn a_url_around_a_password_does_not_show_it(
        before in "[a-z:/@%?#]{0,8}",
        after in "[a-z0-9:/@%?#&=,]{0,20}",
    ) {
        let url = format!("postgres://{before}app:zq7Zq7zq@{after}");
        if let Err(errors) = read(&url, &RunOptions::default(), 1, &|_| None) {
            let text = errors.to_string();
            prop_assert!(!text.contains("zq7Zq7zq"), "{text}");
        }
    }
}
