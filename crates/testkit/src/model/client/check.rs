//! Compares what came with what was expected, one message at a time.
//!
//! Strict: the right kind, the right tag, the right bytes in the right column. A difference is a sentence.

use super::super::backend::Backend;
use super::expected::{Cell, Expect};

/// What a matching message does to the expectation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// It is fulfilled.
    Done,
    /// It goes on: more rows of the same kind.
    More(Expect),
}

/// Checks `message` against `expect`; the error says what is wrong.
pub(super) fn check(expect: &Expect, message: &Backend) -> Result<Match, String> {
    let fits = match (expect, message) {
        (Expect::Description(count), Backend::RowDescription(columns)) => columns.len() == *count,
        (Expect::Parameters(count), Backend::ParameterDescription(types)) => types.len() == *count,
        (Expect::Row(cells), Backend::DataRow(values)) => {
            cells.len() == values.len()
                && cells
                    .iter()
                    .zip(values)
                    .all(|(cell, value)| cell_fits(cell, value.as_deref()))
        }
        (
            Expect::Generated {
                tag,
                size,
                next,
                last,
            },
            Backend::DataRow(values),
        ) => {
            let row = generated(tag, *next, *size as usize);
            if values.as_slice() != [Some(row.into_bytes())] {
                return Err(differ(expect, message));
            }
            let more = Expect::Generated {
                tag: tag.clone(),
                size: *size,
                next: next + 1,
                last: *last,
            };
            return Ok(if next < last {
                Match::More(more)
            } else {
                Match::Done
            });
        }
        (Expect::Lines { tag, next, last }, Backend::CopyData(data)) => {
            if *data != format!("{}\n", generated(tag, *next, 20)).into_bytes() {
                return Err(differ(expect, message));
            }
            let more = Expect::Lines {
                tag: tag.clone(),
                next: next + 1,
                last: *last,
            };
            return Ok(if next < last {
                Match::More(more)
            } else {
                Match::Done
            });
        }
        (Expect::Tag(tag), Backend::CommandComplete(found)) => tag == found,
        (Expect::Error(code), Backend::ErrorResponse(error)) => error.code == *code,
        (Expect::Notice(code), Backend::NoticeResponse(notice)) => notice.code == *code,
        (Expect::Ready(status), Backend::ReadyForQuery(found)) => {
            status.is_none_or(|status| status == *found)
        }
        (Expect::Function(text), Backend::FunctionCallResponse(value)) => {
            value.as_deref() == Some(text.as_bytes())
        }
        (Expect::NoData, Backend::NoData)
        | (Expect::Empty, Backend::EmptyQueryResponse)
        | (Expect::ParseComplete, Backend::ParseComplete)
        | (Expect::BindComplete, Backend::BindComplete)
        | (Expect::CloseComplete, Backend::CloseComplete)
        | (Expect::Suspended, Backend::PortalSuspended)
        | (Expect::CopyIn, Backend::CopyInResponse { .. })
        | (Expect::CopyOut, Backend::CopyOutResponse { .. })
        | (Expect::CopyDone, Backend::CopyDone) => true,
        // The row of pg_sleep is void.
        (Expect::Sleep, Backend::DataRow(values)) => values.as_slice() == [Some(Vec::new())],
        _ => false,
    };
    if fits {
        Ok(Match::Done)
    } else {
        Err(differ(expect, message))
    }
}

fn cell_fits(cell: &Cell, value: Option<&[u8]>) -> bool {
    match cell {
        Cell::Text(text) => value == Some(text.as_bytes()),
        Cell::Int {
            value: number,
            bytes,
            binary: true,
        } => value == Some(&number.to_be_bytes()[8 - bytes..]),
        Cell::Int { value: number, .. } => value == Some(number.to_string().as_bytes()),
        Cell::AtLeast {
            value: least,
            more,
            binary,
        } => value
            .and_then(|value| count(value, *binary))
            .is_some_and(|found| (*least..=*least + *more).contains(&found)),
        Cell::Null => value.is_none(),
        Cell::Unset => value.is_none_or(<[u8]>::is_empty),
    }
}

fn count(value: &[u8], binary: bool) -> Option<i64> {
    if binary {
        return Some(i64::from_be_bytes(value.try_into().ok()?));
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Row `number` of the server function `generate`.
fn generated(tag: &str, number: u32, size: usize) -> String {
    let head = format!("{tag}:{number}:");
    format!("{head}{}", ".".repeat(size.saturating_sub(head.len())))
}

fn differ(expect: &Expect, message: &Backend) -> String {
    format!("expected {expect:?}, got {}", shown(message))
}

/// A message for people: rows as text, long ones cut.
pub(super) fn shown(message: &Backend) -> String {
    let text = match message {
        Backend::DataRow(values) => {
            let cells: Vec<String> = values
                .iter()
                .map(|value| match value {
                    Some(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
                    None => "NULL".to_owned(),
                })
                .collect();
            format!("DataRow({})", cells.join(", "))
        }
        Backend::CopyData(data) => format!("CopyData({:?})", String::from_utf8_lossy(data)),
        Backend::ReadyForQuery(status) => format!("ReadyForQuery({:?})", char::from(*status)),
        other => format!("{other:?}"),
    };
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_anothers_tag_does_not_fit() {
        let expect = Expect::Row(vec![Cell::Text("c1.5".into())]);
        let row = |tag: &str| Backend::DataRow(vec![Some(tag.as_bytes().to_vec())]);
        assert_eq!(check(&expect, &row("c1.5")), Ok(Match::Done));
        assert!(check(&expect, &row("c2.5")).is_err());
    }

    #[test]
    fn generated_rows_are_counted_to_the_last() {
        let expect = Expect::Generated {
            tag: "c1.1".into(),
            size: 10,
            next: 1,
            last: 2,
        };
        let row = |n: u32| Backend::DataRow(vec![Some(generated("c1.1", n, 10).into_bytes())]);
        let Ok(Match::More(second)) = check(&expect, &row(1)) else {
            panic!("one more row is due");
        };
        assert!(
            check(&second, &row(1)).is_err(),
            "a row must not come twice"
        );
        assert_eq!(check(&second, &row(2)), Ok(Match::Done));
    }

    #[test]
    fn binary_numbers_are_compared_in_their_width() {
        let cell = Cell::Int {
            value: 7,
            bytes: 4,
            binary: true,
        };
        assert!(cell_fits(&cell, Some(&[0, 0, 0, 7])));
        assert!(!cell_fits(&cell, Some(b"7")));
    }
}
