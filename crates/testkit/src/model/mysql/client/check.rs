//! Compares what came with what was expected, one result at a time. Strict: a difference is a sentence.

use super::answer::{End, Found, Shown};
use super::expected::{Cell, Expect, Rows, Shape, Told};
use forebay_mysql::wire::status::Status;

/// Checks one result; `last_insert_id` is what that function says at this point.
pub(super) fn check(expect: &Expect, found: &Found, last_insert_id: i64) -> Result<(), String> {
    let differ = || format!("expected {:?}, got {}", expect.shape, shown(found));
    match (&expect.shape, found) {
        (
            Shape::Ok { affected, numbered },
            Found::Ok {
                affected: changed,
                insert_id,
                end,
            },
        ) => {
            if affected != changed || *numbered != (*insert_id != 0) {
                return Err(differ());
            }
            check_end(expect, end)
        }
        (
            Shape::Rows { columns, rows },
            Found::Rows {
                columns: count,
                rows: found_rows,
                end,
            },
        ) => {
            if columns != count || !rows_fit(rows, found_rows, last_insert_id) {
                return Err(differ());
            }
            check_end(expect, end)
        }
        (
            Shape::Error(code),
            Found::Error {
                code: found,
                in_order: true,
                ..
            },
        ) if code == found => Ok(()),
        (
            Shape::Prepared {
                parameters,
                columns,
                ..
            },
            Found::Prepared {
                parameters: p,
                columns: c,
                ..
            },
        ) if parameters == p && columns == c => Ok(()),
        (Shape::Text, Found::Bare) => Ok(()),
        _ => Err(differ()),
    }
}

fn check_end(expect: &Expect, end: &End) -> Result<(), String> {
    let status = end.status.without(Status::SESSION_STATE_CHANGED);
    if status != expect.status {
        return Err(format!(
            "the status is {:#x}, should be {:#x}, behind {:?}",
            status.0, expect.status.0, expect.shape
        ));
    }
    if let Some(warnings) = expect.warnings
        && warnings != end.warnings
    {
        let found = end.warnings;
        return Err(format!("{found} warnings, should be {warnings}"));
    }
    let plain = |told: &Told| match told {
        Told::Variable(name, value) => (0, (*name).to_owned(), value.clone()),
        Told::Schema(name) => (1, name.clone(), String::new()),
        Told::State => (2, String::new(), String::new()),
    };
    let wanted: Vec<_> = expect.told.iter().map(plain).collect();
    let late: Vec<_> = expect.late.iter().map(plain).collect();
    let lacks = wanted.iter().any(|told| !end.told.contains(told));
    let may = |told| wanted.contains(told) || late.contains(told);
    let is_flagged = end.status.has(Status::SESSION_STATE_CHANGED);
    if lacks || !end.told.iter().all(may) || is_flagged == end.told.is_empty() {
        return Err(format!(
            "told was {:?}, should be {wanted:?} (flag: {is_flagged}) behind {:?}",
            end.told, expect.shape
        ));
    }
    Ok(())
}

fn rows_fit(rows: &Rows, found: &[Vec<Shown>], last_insert_id: i64) -> bool {
    match rows {
        Rows::All(rows) => {
            let fits = |(cells, values): (&Vec<Cell>, &Vec<Shown>)| {
                let mut pairs = cells.iter().zip(values);
                cells.len() == values.len()
                    && pairs.all(|(cell, value)| cell_fits(cell, value, last_insert_id))
            };
            rows.len() == found.len() && rows.iter().zip(found).all(fits)
        }
        Rows::Numbers { tag, first, last } => {
            let count = (*last + 1 - *first) as usize;
            let fits = |(at, row): (usize, &Vec<Shown>)| {
                let number = (*first as usize + at).to_string();
                matches!(&row[..], [Some(text), Some(n)] if text == tag && *n == number)
            };
            found.len() == count && found.iter().enumerate().all(fits)
        }
    }
}

fn cell_fits(cell: &Cell, value: &Shown, last_insert_id: i64) -> bool {
    let number = || value.as_ref().and_then(|it| it.parse::<i64>().ok());
    match cell {
        Cell::Text(text) => value.as_deref() == Some(text),
        Cell::Int(wanted) => number() == Some(*wanted),
        Cell::Null => value.is_none(),
        Cell::AtLeast { value: least, more } => {
            number().is_some_and(|it| (*least..=least + more).contains(&it))
        }
        Cell::LastInsertId => number() == Some(last_insert_id),
        Cell::Any => true,
    }
}

/// A result for people, long ones cut.
pub(super) fn shown(found: &Found) -> String {
    format!("{found:?}").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(value: &str) -> Found {
        Found::Rows {
            columns: 1,
            rows: vec![vec![Some(value.into())]],
            end: End {
                status: Status::AUTOCOMMIT,
                warnings: 0,
                told: Vec::new(),
            },
        }
    }

    fn expect(cell: Cell) -> Expect {
        Expect {
            shape: Shape::Rows {
                columns: 1,
                rows: Rows::All(vec![vec![cell]]),
            },
            status: Status::AUTOCOMMIT,
            warnings: Some(0),
            told: Vec::new(),
            late: Vec::new(),
            may_end: false,
            may_be_gone: false,
        }
    }

    #[test]
    fn a_row_with_anothers_tag_does_not_fit() {
        let expect = expect(Cell::Text("c1.5".into()));
        assert_eq!(check(&expect, &rows("c1.5"), 0), Ok(()));
        assert!(check(&expect, &rows("c2.5"), 0).is_err());
    }

    #[test]
    fn what_is_told_unasked_is_a_difference() {
        let expect = expect(Cell::LastInsertId);
        let mut found = rows("7");
        assert_eq!(check(&expect, &found, 7), Ok(()));
        if let Found::Rows { end, .. } = &mut found {
            end.told.push((2, String::new(), String::new()));
            end.status = end.status | Status::SESSION_STATE_CHANGED;
        }
        assert!(check(&expect, &found, 7).is_err());
    }
}
