//! What a client does in one step.

use super::{Session, Style, settings, statements};
use crate::model::SplitMix64;
use crate::oracle::mysql::program::{Act, Value};

/// One act.
pub fn act(rng: &mut SplitMix64, style: &Style, session: &mut Session) -> Act {
    match rng.below(100) {
        0..=61 => Act::Query(text(rng, style, session)),
        62..=68 => several(rng, style, session),
        69..=94 => prepared(rng, style, session),
        95 => Act::Ping,
        96 => {
            session.prepared = [None; 3];
            Act::Reset
        }
        97 => Act::InitDb(session.own(rng.word(&["{}a", "{}b", "nowhere"]))),
        98 => Act::FieldList(rng.word(&["fixed", "t", "nowhere"]).into()),
        _ => Act::SetOption(rng.chance(60)),
    }
}

fn text(rng: &mut SplitMix64, style: &Style, session: &Session) -> String {
    match rng.below(100) {
        0..=21 => settings::several(rng, style),
        22..=56 => statements::question(rng, style),
        57..=72 => statements::change(rng, session),
        73..=84 => statements::transaction(rng, session),
        85..=90 => statements::state(rng, session),
        91..=95 => statements::call(rng, session),
        _ => statements::rare(rng, style, session),
    }
}

/// Several statements in one message; an error of the parser where that was not agreed on.
fn several(rng: &mut SplitMix64, style: &Style, session: &Session) -> Act {
    let count = if session.multi_statements { 3 } else { 2 };
    let texts: Vec<String> = (0..rng.between(2, count))
        .map(|_| text(rng, style, session))
        .collect();
    Act::Query(texts.join("; "))
}

fn prepared(rng: &mut SplitMix64, style: &Style, session: &mut Session) -> Act {
    let number = rng.below(3);
    let place = usize::try_from(number).expect("small");
    let number = u8::try_from(number).expect("small");
    let Some(parameters) = session.prepared[place] else {
        let (sql, parameters) = statements::prepared(rng, style, session);
        session.prepared[place] = Some(parameters);
        return Act::Prepare(number, sql);
    };
    match rng.below(20) {
        0 => {
            session.prepared[place] = None;
            Act::StatementClose(number)
        }
        1 => Act::StatementReset(number),
        2 if parameters > 0 => Act::LongData(number, 0, "long data".into()),
        3 => Act::Fetch(number, 2),
        _ => Act::Execute {
            statement: number,
            values: (0..parameters).map(|_| value(rng)).collect(),
            types: rng.chance(75),
            cursor: rng.chance(12),
        },
    }
}

fn value(rng: &mut SplitMix64) -> Value {
    match rng.below(5) {
        0 => Value::Null,
        1 => Value::Text(rng.word(&["text", "12", "", "\u{e4}"]).into()),
        2 => Value::Double(1.5_f64.to_bits()),
        _ => Value::Number(i64::try_from(rng.below(5)).expect("small")),
    }
}
