//! What tests did, as their runners tell it: pytest's report log, mocha's JSON, libtest's lines, and the lines of node-postgres' own runner.

use std::collections::BTreeMap;

use serde_json::Value;

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It passed when it was played once more by itself.
    PassedAgain,
    /// It failed; what was said of it, in a line.
    Failed(String),
    /// It did not want to be played here.
    Skipped,
}

/// The tests of a run, by name.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    tests: BTreeMap<String, Outcome>,
}

impl Outcomes {
    /// Notes how a test ended. Tests of one name count as one; if any of them failed, it failed.
    pub fn add(&mut self, name: String, outcome: Outcome) {
        let slot = self.tests.entry(name).or_insert(Outcome::Skipped);
        if !matches!(slot, Outcome::Failed(_)) && outcome != Outcome::Skipped {
            *slot = outcome;
        }
    }

    /// Takes over what a run of some of the tests gave.
    pub fn second_try(&mut self, again: Outcomes) {
        for (name, outcome) in again.tests {
            let passed = self.tests.get(&name) == Some(&Outcome::Passed);
            if outcome == Outcome::Passed && !passed {
                self.tests.insert(name, Outcome::PassedAgain);
            }
        }
    }

    /// How a test ended, if it was there.
    pub fn of(&self, name: &str) -> Option<&Outcome> {
        self.tests.get(name)
    }

    /// The names of the tests that passed.
    pub fn passing(&self) -> impl Iterator<Item = &str> {
        let passed = |outcome: &Outcome| matches!(outcome, Outcome::Passed | Outcome::PassedAgain);
        self.tests
            .iter()
            .filter(move |(_, outcome)| passed(outcome))
            .map(|(name, _)| &**name)
    }

    /// How many passed.
    pub fn passed(&self) -> usize {
        self.passing().count()
    }

    /// Everything of another run.
    pub fn extend(&mut self, other: Outcomes) {
        other
            .tests
            .into_iter()
            .for_each(|(name, outcome)| self.add(name, outcome));
    }
}

/// The lines of `pytest --report-log`: set-up, call and tear-down of each test report by themselves, and each may fail.
pub fn of_pytest(log: &str) -> Outcomes {
    let mut found = Outcomes::default();
    let reports = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for report in reports.filter(|report| report["$report_type"] == "TestReport") {
        let name = report["nodeid"].as_str().unwrap_or_default().to_owned();
        let outcome = match report["outcome"].as_str() {
            Some("failed") => Outcome::Failed(pytest_reason(&report["longrepr"])),
            Some("passed") if report["when"] == "call" => Outcome::Passed,
            _ => Outcome::Skipped,
        };
        found.add(name, outcome);
    }
    found
}

fn pytest_reason(shown: &Value) -> String {
    let crash = shown["reprcrash"]["message"].as_str();
    one_line(crash.or(shown.as_str()).unwrap_or("failed"))
}

/// What `mocha --reporter json` writes; `file` goes before the names.
pub fn of_mocha(file: &str, json: &str) -> Outcomes {
    let mut found = Outcomes::default();
    let all: Value = serde_json::from_str(json).unwrap_or_default();
    for (key, passed) in [("passes", true), ("failures", false)] {
        for test in all[key].as_array().into_iter().flatten() {
            let title = test["fullTitle"].as_str().unwrap_or_default();
            let reason = || one_line(test["err"]["message"].as_str().unwrap_or("failed"));
            let outcome = if passed {
                Outcome::Passed
            } else {
                Outcome::Failed(reason())
            };
            found.add(format!("{file} > {title}"), outcome);
        }
    }
    found
}

/// libtest's lines: `test NAME ... ok`; what a test itself writes may stand between the name and the verdict.
pub fn of_libtest(output: &str) -> Outcomes {
    let mut found = Outcomes::default();
    for line in output.lines().filter_map(|line| line.strip_prefix("test ")) {
        let Some((name, verdict)) = line.split_once(" ... ") else {
            continue;
        };
        let outcome = match verdict {
            _ if verdict.starts_with("ignored") => Outcome::Skipped,
            "ok" => Outcome::Passed,
            _ => Outcome::Failed(panic_of(output, name)),
        };
        found.add(name.to_owned(), outcome);
    }
    found
}

/// What the section `---- NAME stdout ----` says first.
fn panic_of(output: &str, name: &str) -> String {
    let section = output.split_once(&format!("---- {name} stdout ----"));
    let said = section.map_or("failed", |(_, rest)| {
        rest.split("\n---- ").next().unwrap_or(rest)
    });
    one_line(said)
}

/// Lines of a test's own script, `  NAME ✔` for each test that passed, and how the script ended.
pub fn of_script(file: &str, output: &str, failure: Option<String>) -> Outcomes {
    let mut found = Outcomes::default();
    let passed = |line: &str| {
        Some(
            line.strip_prefix("  ")?
                .strip_suffix('✔')?
                .trim()
                .to_owned(),
        )
    };
    for name in output.lines().filter_map(passed) {
        found.add(format!("{file} > {name}"), Outcome::Passed);
    }
    found.add(
        file.to_owned(),
        failure.map_or(Outcome::Passed, |text| Outcome::Failed(one_line(&text))),
    );
    found
}

/// The beginning of a text, without ends of lines.
pub fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().take(60).collect();
    words.join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_fails_when_it_is_torn_down_has_failed() {
        let log = r#"{"$report_type":"SessionStart"}
{"$report_type":"TestReport","nodeid":"a","when":"setup","outcome":"passed"}
{"$report_type":"TestReport","nodeid":"a","when":"call","outcome":"passed"}
{"$report_type":"TestReport","nodeid":"a","when":"teardown","outcome":"failed","longrepr":{"reprcrash":{"message":"one\n two"}}}
{"$report_type":"TestReport","nodeid":"b","when":"setup","outcome":"skipped","longrepr":["f",1,"why"]}
{"$report_type":"TestReport","nodeid":"c","when":"setup","outcome":"failed","longrepr":"gone"}
{"$report_type":"TestReport","nodeid":"d","when":"call","outcome":"passed"}"#;
        let found = of_pytest(log);
        assert_eq!(found.of("a"), Some(&Outcome::Failed("one two".into())));
        assert_eq!(found.of("b"), Some(&Outcome::Skipped));
        assert_eq!(found.of("c"), Some(&Outcome::Failed("gone".into())));
        assert_eq!(found.passing().collect::<Vec<_>>(), ["d"]);
    }

    #[test]
    fn what_passes_once_more_counts_and_is_told_apart() {
        let mut first = of_libtest("test a ... FAILED\ntest b ... FAILED\ntest c ... ok\n");
        first.second_try(of_libtest(
            "test a ... ok\ntest b ... FAILED\ntest c ... ok\n",
        ));
        assert_eq!(first.of("a"), Some(&Outcome::PassedAgain));
        assert!(matches!(first.of("b"), Some(Outcome::Failed(_))));
        assert_eq!(first.of("c"), Some(&Outcome::Passed));
        assert_eq!(first.passed(), 2);
    }

    #[test]
    fn libtest_tells_why_and_what_it_left_out() {
        let output = "test x::a ... FAILED\ntest b ... ignored, no\ntest c ... ok\n\nfailures:\n\n---- x::a stdout ----\nthread panicked: 1 != 2\n---- z stdout ----\nno";
        let found = of_libtest(output);
        assert_eq!(
            found.of("x::a"),
            Some(&Outcome::Failed("thread panicked: 1 != 2".into()))
        );
        assert_eq!(found.of("b"), Some(&Outcome::Skipped));
        assert_eq!(found.passed(), 1);
    }

    #[test]
    fn mocha_and_scripts_name_tests_by_their_files() {
        let found = of_mocha(
            "pool",
            r#"{"passes":[{"fullTitle":"a b"}],"failures":[{"fullTitle":"c","err":{"message":"m"}}]}"#,
        );
        assert_eq!(found.of("pool > a b"), Some(&Outcome::Passed));
        assert_eq!(found.of("pool > c"), Some(&Outcome::Failed("m".into())));
        let script = of_script(
            "f.js",
            "f.js\n  one ✔\n  two FAILED!\n",
            Some("exit 1".into()),
        );
        assert_eq!(script.passing().collect::<Vec<_>>(), ["f.js > one"]);
        assert_eq!(script.of("f.js"), Some(&Outcome::Failed("exit 1".into())));
    }
}
