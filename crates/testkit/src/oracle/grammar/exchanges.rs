//! The forms in which statements are sent: queries of one or several, pipelines, named and unnamed statements, portals, COPY.

use super::statements::{preparable, question, statement};
use super::{Session, Style};
use crate::model::SplitMix64;
use crate::oracle::program::{Act, Extended};

/// Where the unnamed statement's parameters are kept.
const UNNAMED: usize = 3;

/// What a client does in its next step.
pub fn act(rng: &mut SplitMix64, style: &Style, session: &mut Session) -> Act {
    match rng.below(20) {
        0..=8 => Act::Query(statement(rng, style, session)),
        9..=11 => several(rng, style, session),
        12..=14 => once(rng, style, session),
        15..=18 => pipeline(rng, style, session),
        _ => copy(rng, session),
    }
}

fn several(rng: &mut SplitMix64, style: &Style, session: &mut Session) -> Act {
    let count = rng.between(2, 5);
    let mut texts: Vec<String> = (0..count).map(|_| statement(rng, style, session)).collect();
    let last = texts.len() - 1;
    for text in &mut texts[..last] {
        if session.baseline && resets(text) {
            *text = question(rng);
        }
    }
    Act::Query(texts.join("; "))
}

/// Whether a statement may bring back a default.
fn resets(text: &str) -> bool {
    let text = text.to_uppercase();
    let words = [
        "RESET",
        "DEFAULT",
        "ZONE LOCAL",
        "NULL, ",
        "DISCARD ALL",
        "FROM CURRENT",
    ];
    words.iter().any(|word| text.contains(word))
}

/// What may stand within a segment.
fn within(
    rng: &mut SplitMix64,
    style: &Style,
    session: &mut Session,
) -> (String, Vec<Option<String>>) {
    let (text, parameters) = preparable(rng, style, session);
    if session.baseline && resets(&text) {
        return (question(rng), Vec::new());
    }
    (text, parameters)
}

/// An unnamed statement from Parse to Sync, as most drivers send it.
fn once(rng: &mut SplitMix64, style: &Style, session: &mut Session) -> Act {
    let (text, parameters) = preparable(rng, style, session);
    session.prepared[UNNAMED] = Some(parameters.clone());
    let name = String::new;
    let mut messages = vec![Extended::Parse(name(), text)];
    if rng.chance(30) {
        messages.push(Extended::DescribeStatement(name()));
    }
    if rng.chance(15) {
        // As lib/pq: describe first, bind in the next round.
        messages.push(Extended::Sync);
        return Act::Extended(messages);
    }
    messages.push(Extended::Bind(name(), name(), parameters));
    if rng.chance(60) {
        messages.push(Extended::DescribePortal(name()));
    }
    messages.push(Extended::Execute(name(), 0));
    messages.push(Extended::Sync);
    Act::Extended(messages)
}

fn pipeline(rng: &mut SplitMix64, style: &Style, session: &mut Session) -> Act {
    let mut messages = Vec::new();
    for _ in 0..rng.between(1, 5) {
        match rng.below(10) {
            0..=2 => parse(rng, style, session, &mut messages),
            3..=6 => execute(rng, session, &mut messages),
            7 => portal(rng, session, &mut messages),
            8 => close(rng, session, &mut messages),
            _ => {
                let (text, parameters) = within(rng, style, session);
                messages.push(Extended::Parse(String::new(), text));
                messages.push(Extended::Bind(String::new(), String::new(), parameters));
                messages.push(Extended::Execute(String::new(), 0));
            }
        }
        match rng.below(10) {
            0..=2 => messages.push(Extended::Sync),
            3 => messages.push(Extended::Flush),
            _ => {}
        }
    }
    let ends = matches!(messages.last(), Some(Extended::Sync | Extended::Flush));
    if !ends || rng.chance(90) && messages.last() != Some(&Extended::Sync) {
        messages.push(Extended::Sync);
    }
    Act::Extended(messages)
}

fn name(number: usize) -> String {
    if number == UNNAMED {
        String::new()
    } else {
        format!("p{number}")
    }
}

fn number(rng: &mut SplitMix64) -> usize {
    rng.below(4) as usize
}

fn parse(rng: &mut SplitMix64, style: &Style, session: &mut Session, messages: &mut Vec<Extended>) {
    let number = number(rng);
    let (text, parameters) = within(rng, style, session);
    if rng.chance(60) && session.prepared[number].is_some() && number != UNNAMED {
        messages.push(Extended::CloseStatement(name(number)));
    }
    messages.push(Extended::Parse(name(number), text));
    session.prepared[number] = Some(parameters);
    if rng.chance(40) {
        messages.push(Extended::DescribeStatement(name(number)));
    }
}

fn execute(rng: &mut SplitMix64, session: &Session, messages: &mut Vec<Extended>) {
    let number = number(rng);
    let parameters = session.prepared[number].clone().unwrap_or_default();
    messages.push(Extended::Bind(String::new(), name(number), parameters));
    if rng.chance(40) {
        messages.push(Extended::DescribePortal(String::new()));
    }
    messages.push(Extended::Execute(String::new(), 0));
}

/// A portal with a name, read row by row; it may be gone or not be there yet.
fn portal(rng: &mut SplitMix64, session: &Session, messages: &mut Vec<Extended>) {
    let number = number(rng);
    let portal = rng.word(&["po", "pu"]).to_owned();
    if rng.chance(60) {
        let parameters = session.prepared[number].clone().unwrap_or_default();
        messages.push(Extended::Bind(portal.clone(), name(number), parameters));
    }
    messages.push(Extended::Execute(portal.clone(), 1));
    if rng.chance(40) {
        messages.push(Extended::Execute(portal.clone(), 0));
    }
    if rng.chance(30) {
        messages.push(Extended::ClosePortal(portal));
    }
}

fn close(rng: &mut SplitMix64, session: &mut Session, messages: &mut Vec<Extended>) {
    let number = number(rng);
    session.prepared[number] = None;
    messages.push(Extended::CloseStatement(name(number)));
}

fn copy(rng: &mut SplitMix64, session: &Session) -> Act {
    let who = session.number;
    let into = rng.word(&[
        "public.log (who, said) FROM STDIN",
        "public.log (who, said) FROM STDIN CSV",
        "nowhere FROM STDIN",
    ]);
    let data = rng.word(&["W\tone\nW\ttwo\n", "W,one\nW,two\n", "W\n", ""]);
    let sql = match rng.below(4) {
        0 => format!("{}; COPY {into}", question(rng)),
        1 => format!("SET work_mem TO '7MB'; COPY {into}; SHOW work_mem"),
        _ => format!("COPY {into}"),
    };
    Act::CopyIn {
        sql,
        data: data.replace('W', &format!("c{who}")),
        fail: rng.chance(20).then(|| "on purpose".to_owned()),
    }
}
